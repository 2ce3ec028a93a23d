"""The conditional denoiser of stacked latents, one per split."""

from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.phantoms.settings import PhantomSettings

DIFFUSION = f"{RESULTS}/diffusion/{{split}}"


rule train_diffusion:
    input:
        **prior("diffusion"),
        latents=rules.encode_patients.output.latents,
        tissue=rules.encode_patients.output.tissue,
        contrasts=rules.encode_patients.output.contrasts,
        intensities=rules.encode_patients.output.intensities,
        rendered=rules.encode_patients.output.rendered,
        tumours=rules.encode_patients.output.tumours,
        attributes=rules.encode_patients.output.attributes,
    output:
        weights=f"{DIFFUSION}/model/weights.safetensors",
        config=f"{DIFFUSION}/model/config.json",
        history=f"{DIFFUSION}/training.tsv",
        provenance=f"{DIFFUSION}/provenance/train_diffusion.json",
    log:
        f"{LOGS}/diffusion/train_diffusion/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/diffusion/train_diffusion/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000, 2.0),
        runtime=1440,
        gpu=1,
        checkpoint_seconds=300,
    params:
        settings=CONFIG.diffusion.part(DiffusionSettings),
        phantom=CONFIG.cohort.phantom.part(PhantomSettings),
        preprocess=settings("preprocess"),
        patients=int(not ON_GRID),
        grid=GRID,
        modalities=CONFIG.modalities,
        seed=split_seed,
        checkpoints=f"{RESULTS}/checkpoints/diffusion",
        tensorboard=lambda wildcards: f"{RESULTS}/tensorboard/diffusion/{wildcards.split}",
        code=code("diffusion/train_diffusion"),
    script:
        "../workflow_scripts/diffusion/train_diffusion.py"
