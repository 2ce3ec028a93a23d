"""The slice autoencoder: one per split, trained on its training patients only."""

from workflow_scripts.autoencoder.settings import AutoencoderSettings

AUTOENCODER = f"{RESULTS}/autoencoder/{{split}}"


rule train_autoencoder:
    input:
        **prior("autoencoder"),
        images=preprocessed("train"),
        labels=preprocessed("train", "label"),
    output:
        weights=f"{AUTOENCODER}/model/weights.safetensors",
        config=f"{AUTOENCODER}/model/config.json",
        history=f"{AUTOENCODER}/training.tsv",
        provenance=f"{AUTOENCODER}/provenance/train_autoencoder.json",
    log:
        f"{LOGS}/autoencoder/train_autoencoder/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/autoencoder/train_autoencoder/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000, 1.0),
        runtime=720,
        gpu=1,
        checkpoint_seconds=300,
    params:
        settings=CONFIG.autoencoder.part(AutoencoderSettings),
        modalities=CONFIG.modalities,
        labels=CONFIG.labels,
        grid=GRID,
        seed=split_seed,
        checkpoints=f"{RESULTS}/checkpoints/autoencoder",
        tensorboard=lambda wildcards: f"{RESULTS}/tensorboard/autoencoder/{wildcards.split}",
        code=code("autoencoder/train_autoencoder"),
    script:
        "../workflow_scripts/autoencoder/train_autoencoder.py"


rule reconstruct_patients:
    input:
        weights=rules.train_autoencoder.output.weights,
        config=rules.train_autoencoder.output.config,
        images=held_out(),
        masks=held_out("label", "brain"),
    output:
        scores=f"{AUTOENCODER}/reconstruction.csv",
        patients=directory(f"{AUTOENCODER}/reconstructions"),
        provenance=f"{AUTOENCODER}/provenance/reconstruct_patients.json",
    log:
        f"{LOGS}/autoencoder/reconstruct_patients/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/autoencoder/reconstruct_patients/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, 0.5),
        runtime=120,
        gpu=1,
    params:
        code=code("autoencoder/reconstruct_patients"),
    script:
        "../workflow_scripts/autoencoder/reconstruct_patients.py"


rule encode_patients:
    input:
        weights=rules.train_autoencoder.output.weights,
        config=rules.train_autoencoder.output.config,
        images=preprocessed("train"),
        masks=preprocessed("train", "label", "brain", "tissue"),
    output:
        latents=f"{AUTOENCODER}/latents.npy",
        tumours=f"{AUTOENCODER}/tumours.npy",
        tissue=f"{AUTOENCODER}/tissue.npy",
        contrasts=f"{AUTOENCODER}/contrasts.npy",
        intensities=f"{AUTOENCODER}/intensities.npy",
        rendered=f"{AUTOENCODER}/rendered.npy",
        attributes=f"{AUTOENCODER}/attributes.tsv",
        brain=f"{AUTOENCODER}/brain.nii.gz",
        provenance=f"{AUTOENCODER}/provenance/encode_patients.json",
    log:
        f"{LOGS}/autoencoder/encode_patients/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/autoencoder/encode_patients/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(1500, 0.5),
        runtime=240,
        gpu=1,
    params:
        copies=CONFIG.autoencoder.copies,
        # Only a denoiser with an anatomy needs rendered latents.
        render=CONFIG.diffusion.anatomy == "tissue",
        layout=CONFIG.diffusion.layout is not None,
        warp=settings("autoencoder")["warp"],
        seed=split_seed,
        code=code("autoencoder/encode_patients"),
    script:
        "../workflow_scripts/autoencoder/encode_patients.py"
