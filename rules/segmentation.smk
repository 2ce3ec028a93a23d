"""One segmentation network per split and arm, and their predictions for the test patients."""

from workflow_scripts.segmentation.settings import SegmentationSettings

SEGMENTATION = f"{RESULTS}/segmentation/{{split}}/{{arm}}"
# Files that map a label from the modality on which it was drawn to the reference.
FRAMES = ("native.json", *(f"{modality}_to_reference.tfm" for modality in CONFIG.modalities))


rule make_arm_phantoms:
    input:
        phantom=prior_file(CONFIG.diffusion.prior, "phantom.json") or [],
    output:
        patients=directory(f"{RESULTS}/prior_phantoms/{{split}}"),
        provenance=f"{RESULTS}/prior_phantoms/provenance/{{split}}.json",
    log:
        f"{LOGS}/preprocess/make_arm_phantoms/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/preprocess/make_arm_phantoms/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(1500, 3.0),
        runtime=60,
    params:
        patients=CONFIG.synthesis.patients,
        preprocess=settings("preprocess"),
        modalities=CONFIG.modalities,
        grid=GRID,
        seed=split_seed,
        checkpoints=f"{RESULTS}/checkpoints/preprocess",
        code=code("preprocess/make_arm_phantoms"),
    script:
        "../workflow_scripts/preprocess/make_arm_phantoms.py"


rule make_arm_copies:
    input:
        images=preprocessed("train"),
        masks=preprocessed("train", "label", "tissue"),
    output:
        patients=directory(f"{RESULTS}/copies/{{split}}"),
        provenance=f"{RESULTS}/copies/provenance/{{split}}.json",
    log:
        f"{LOGS}/segmentation/make_arm_copies/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/segmentation/make_arm_copies/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, 0.5),
        runtime=60,
    params:
        patients=CONFIG.synthesis.patients,
        warp=CONFIG.autoencoder.warp.model_dump(mode="json"),
        modalities=CONFIG.modalities,
        grid=GRID,
        seed=split_seed,
        code=code("segmentation/make_arm_copies"),
    script:
        "../workflow_scripts/segmentation/make_arm_copies.py"


rule train_segmentation:
    input:
        images=preprocessed("train"),
        masks=preprocessed("train", "label", "foreground"),
        validation=preprocessed("validation"),
        validation_masks=preprocessed("validation", "label", "foreground"),
        synthetic=synthetic_patients,
    output:
        weights=f"{SEGMENTATION}/model/weights.safetensors",
        config=f"{SEGMENTATION}/model/config.json",
        history=f"{SEGMENTATION}/training.tsv",
        provenance=f"{SEGMENTATION}/provenance/train_segmentation.json",
    log:
        f"{LOGS}/segmentation/train_segmentation/{{split}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/segmentation/train_segmentation/{{split}}/{{arm}}.tsv"
    conda:
        "../envs/workflow.yaml"
    # Arms train in parallel on one thread each, in three quarters of the time that they take one
    # after another on two threads.
    threads: 1
    resources:
        mem_mb=memory(2000, 2.0),
        runtime=720,
        gpu=1,
        checkpoint_seconds=300,
    params:
        settings=CONFIG.segmentation.part(SegmentationSettings),
        arm="{arm}",
        modalities=CONFIG.modalities,
        labels=CONFIG.labels,
        grid=GRID,
        seed=split_seed,
        checkpoints=f"{RESULTS}/checkpoints/segmentation",
        tensorboard=f"{RESULTS}/tensorboard/segmentation/{{split}}/{{arm}}",
        code=code("segmentation/train_segmentation"),
    script:
        "../workflow_scripts/segmentation/train_segmentation.py"


rule predict_segmentation:
    input:
        weights=rules.train_segmentation.output.weights,
        config=rules.train_segmentation.output.config,
        images=preprocessed("test"),
        masks=preprocessed("test", "label", "foreground"),
        geometry=preprocessed("test", "native.json", "to_template.tfm"),
    output:
        predictions=directory(f"{SEGMENTATION}/predictions"),
        provenance=f"{SEGMENTATION}/provenance/predict_segmentation.json",
    log:
        f"{LOGS}/segmentation/predict_segmentation/{{split}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/segmentation/predict_segmentation/{{split}}/{{arm}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, 1.0),
        runtime=120,
        gpu=1,
    params:
        code=code("segmentation/predict_segmentation"),
    script:
        "../workflow_scripts/segmentation/predict_segmentation.py"


rule score_segmentation:
    input:
        predictions=rules.predict_segmentation.output.predictions,
        images=preprocessed("test"),
        labels=preprocessed("test", "label"),
        drawn=drawn_labels,
        geometry=preprocessed("test", *FRAMES),
    output:
        scores=f"{SEGMENTATION}/scores.csv",
        provenance=f"{SEGMENTATION}/provenance/score_segmentation.json",
    log:
        f"{LOGS}/segmentation/score_segmentation/{{split}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/segmentation/score_segmentation/{{split}}/{{arm}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(2500, 0.3),
        runtime=60,
    params:
        labels=CONFIG.labels,
        grid=GRID,
        tolerance_mm=CONFIG.segmentation.nsd_tolerance_mm,
        readings=label_readings,
        code=code("segmentation/score_segmentation"),
    script:
        "../workflow_scripts/segmentation/score_segmentation.py"
