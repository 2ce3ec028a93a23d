"""Other generators of synthetic patients, for arms of the segmentation study."""

RIVAL = f"{RESULTS}/rivals/{{split}}/{{rival}}"


rule train_rival:
    input:
        images=preprocessed("train"),
        masks=preprocessed("train", "label", "tissue"),
        validation=preprocessed("validation"),
        validation_masks=preprocessed("validation", "label"),
    output:
        weights=f"{RIVAL}/model/weights.safetensors",
        config=f"{RIVAL}/model/config.json",
        history=f"{RIVAL}/training.tsv",
        provenance=f"{RIVAL}/provenance/train_rival.json",
    log:
        f"{LOGS}/rivals/train_rival/{{split}}/{{rival}}.log",
    benchmark:
        f"{BENCHMARKS}/rivals/train_rival/{{split}}/{{rival}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000, 20.0),
        runtime=1440,
        gpu=1,
        checkpoint_seconds=300,
    params:
        rival="{rival}",
        settings=lambda wildcards: settings("rivals")[wildcards.rival],
        warp=settings("autoencoder")["warp"],
        modalities=CONFIG.modalities,
        labels=CONFIG.labels,
        grid=GRID,
        seed=split_seed,
        checkpoints=f"{RESULTS}/checkpoints/rivals",
        tensorboard=f"{RESULTS}/tensorboard/rivals/{{split}}/{{rival}}",
        code=code("rivals/train_rival"),
    script:
        "../workflow_scripts/rivals/train_rival.py"


rule sample_rival:
    input:
        weights=rules.train_rival.output.weights,
        config=rules.train_rival.output.config,
    output:
        patients=directory(f"{RIVAL}/patients"),
        provenance=f"{RIVAL}/provenance/sample_rival.json",
    log:
        f"{LOGS}/rivals/sample_rival/{{split}}/{{rival}}.log",
    benchmark:
        f"{BENCHMARKS}/rivals/sample_rival/{{split}}/{{rival}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000, 5.0),
        runtime=240,
        gpu=1,
    params:
        rival="{rival}",
        patients=CONFIG.synthesis.patients,
        attempts=CONFIG.synthesis.attempts,
        modalities=CONFIG.modalities,
        labels=CONFIG.labels,
        grid=GRID,
        seed=split_seed,
        code=code("rivals/sample_rival"),
    script:
        "../workflow_scripts/rivals/sample_rival.py"
