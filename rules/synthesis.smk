"""Synthetic patients: image and label together, with the requested tumour."""

from workflow_scripts.synthesis.request_table import is_training
from workflow_scripts.synthesis.settings import SamplingSettings

SYNTHESIS = f"{RESULTS}/synthesis/{{split}}"


rule export_model:
    input:
        autoencoder_weights=rules.train_autoencoder.output.weights,
        autoencoder_config=rules.train_autoencoder.output.config,
        diffusion_weights=rules.train_diffusion.output.weights,
        diffusion_config=rules.train_diffusion.output.config,
        attributes=rules.encode_patients.output.attributes,
        brain=rules.encode_patients.output.brain,
    output:
        autoencoder_weights=f"{SYNTHESIS}/model/autoencoder/weights.safetensors",
        autoencoder_config=f"{SYNTHESIS}/model/autoencoder/config.json",
        diffusion_weights=f"{SYNTHESIS}/model/diffusion/weights.safetensors",
        diffusion_config=f"{SYNTHESIS}/model/diffusion/config.json",
        attributes=f"{SYNTHESIS}/model/attributes.tsv",
        brain=f"{SYNTHESIS}/model/brain.nii.gz",
        sampling=f"{SYNTHESIS}/model/sampling.json",
        template=f"{SYNTHESIS}/model/template.nii.gz",
        checksums=f"{SYNTHESIS}/model/checksums.json",
        origin=f"{SYNTHESIS}/model/origin.json",
        provenance=f"{SYNTHESIS}/provenance/export_model.json",
    log:
        f"{LOGS}/synthesis/export_model/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/export_model/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        sampling=CONFIG.synthesis.part(SamplingSettings),
        origin={
            "phantoms": CONFIG.cohort.made,
            "priors": {
                "autoencoder": CONFIG.autoencoder.prior,
                "diffusion": CONFIG.diffusion.prior,
            },
        },
        grid=GRID,
        code=code("synthesis/export_model"),
    script:
        "../workflow_scripts/synthesis/export_model.py"


rule draw_requests:
    input:
        **{
            **training_copies(CONFIG.synthesis.anatomy == "patients"),
            "attributes": trained("attributes.tsv"),
        },
        brain=trained("brain.nii.gz"),
        requests=CONFIG.synthesis.requests or [],
    output:
        requests=f"{SYNTHESIS}/requests.tsv",
        provenance=f"{SYNTHESIS}/provenance/draw_requests.json",
    log:
        f"{LOGS}/synthesis/draw_requests/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/draw_requests/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 0.1),
        runtime=30,
    params:
        patients=CONFIG.synthesis.patients,
        jitter=CONFIG.synthesis.jitter,
        jitter_mm=CONFIG.synthesis.jitter_mm,
        shares=CONFIG.synthesis.shares,
        anatomy=CONFIG.synthesis.anatomy,
        grid=GRID,
        seed=split_seed,
        code=code("synthesis/draw_requests"),
    script:
        "../workflow_scripts/synthesis/draw_requests.py"


rule draw_sweep:
    input:
        attributes=trained("attributes.tsv"),
        brain=trained("brain.nii.gz"),
    output:
        requests=f"{SYNTHESIS}/sweep_requests.tsv",
        provenance=f"{SYNTHESIS}/provenance/draw_sweep.json",
    log:
        f"{LOGS}/synthesis/draw_sweep/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/draw_sweep/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 0.1),
        runtime=30,
    params:
        volumes_ml=CONFIG.synthesis.sweep_ml,
        places=CONFIG.synthesis.sweep_places,
        place_ml=CONFIG.synthesis.sweep_place_ml,
        grid=GRID,
        seed=split_seed,
        code=code("synthesis/draw_sweep"),
    script:
        "../workflow_scripts/synthesis/draw_sweep.py"


rule draw_implants:
    input:
        **training_copies(True),
    output:
        requests=f"{SYNTHESIS}/implant_requests.tsv",
        provenance=f"{SYNTHESIS}/provenance/draw_implants.json",
    log:
        f"{LOGS}/synthesis/draw_implants/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/draw_implants/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 0.1),
        runtime=30,
    params:
        patients=CONFIG.synthesis.patients,
        jitter=CONFIG.synthesis.jitter,
        jitter_mm=CONFIG.synthesis.jitter_mm,
        shares=CONFIG.synthesis.shares,
        implant=settings("synthesis")["implant"],
        grid=GRID,
        seed=split_seed,
        code=code("synthesis/draw_implants"),
    script:
        "../workflow_scripts/synthesis/draw_implants.py"


# Parameters of all sampling rules.
SAMPLED = {
    "sampling": CONFIG.synthesis.part(SamplingSettings),
    "modalities": CONFIG.modalities,
    "labels": CONFIG.labels,
    "checkpoints": f"{RESULTS}/checkpoints/synthesis",
    "code": code("synthesis/synthesise_patients"),
}


rule synthesise_patients:
    input:
        **trained_model(),
        **training_copies(
            CONFIG.synthesis.anatomy == "patients" or any(map(is_training, requested_anatomies()))
        ),
        anatomies=anatomy_files(),
        requests=rules.draw_requests.output.requests,
    output:
        patients=directory(f"{SYNTHESIS}/patients"),
        attributes=f"{SYNTHESIS}/attributes.tsv",
        provenance=f"{SYNTHESIS}/provenance/synthesise_patients.json",
    log:
        f"{LOGS}/synthesis/synthesise_patients/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/synthesise_patients/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000, 1.0),
        runtime=240,
        gpu=1,
    params:
        **SAMPLED,
        contrast_jitter=CONFIG.synthesis.contrast_jitter,
        implant=None,
    script:
        "../workflow_scripts/synthesis/synthesise_patients.py"


use rule synthesise_patients as synthesise_implants with:
    input:
        **trained_model(),
        **training_copies(True),
        requests=rules.draw_implants.output.requests,
    output:
        patients=directory(f"{SYNTHESIS}/implanted"),
        attributes=f"{SYNTHESIS}/implanted_attributes.tsv",
        provenance=f"{SYNTHESIS}/provenance/synthesise_implants.json",
    log:
        f"{LOGS}/synthesis/synthesise_implants/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/synthesise_implants/{{split}}.tsv"
    params:
        **SAMPLED,
        contrast_jitter=CONFIG.synthesis.contrast_jitter,
        implant=settings("synthesis")["implant"],


use rule synthesise_patients as synthesise_sweep with:
    input:
        **trained_model(),
        **training_copies(False),
        requests=rules.draw_sweep.output.requests,
    output:
        patients=directory(f"{SYNTHESIS}/sweep"),
        attributes=f"{SYNTHESIS}/sweep_attributes.tsv",
        provenance=f"{SYNTHESIS}/provenance/synthesise_sweep.json",
    log:
        f"{LOGS}/synthesis/synthesise_sweep/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/synthesise_sweep/{{split}}.tsv"
    params:
        **SAMPLED,
        contrast_jitter=0.0,
        implant=None,
