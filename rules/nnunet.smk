"""nnU-Net, if installed: does it benefit from synthetic patients? On request."""

NNUNET = f"{RESULTS}/nnunet/{{split}}/{{arm}}"
# nnU-Net always uses classical augmentation.
NNUNET_ARMS = ["real+classical", "real+classical+synthetic"]


rule train_nnunet:
    input:
        datasets=rules.export_datasets.output.datasets,
        splits=f"{COHORT}/splits.tsv",
    output:
        model=directory(f"{NNUNET}/nnunet_model"),
        provenance=f"{NNUNET}/provenance/train_nnunet.json",
    log:
        f"{LOGS}/nnunet/train_nnunet/{{split}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/nnunet/train_nnunet/{{split}}/{{arm}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000, 2.0),
        runtime=2880,
        gpu=1,
    params:
        commands=nnunet_commands,
        arm="{arm}",
        trainer=CONFIG.nnunet.trainer,
        configuration=CONFIG.nnunet.configuration,
        checkpoints=f"{RESULTS}/checkpoints/nnunet",
        code=code("nnunet/train_nnunet"),
    script:
        "../workflow_scripts/nnunet/train_nnunet.py"


rule predict_nnunet:
    input:
        model=rules.train_nnunet.output.model,
        datasets=rules.export_datasets.output.datasets,
        images=preprocessed("test"),
        geometry=preprocessed("test", "native.json", "to_template.tfm"),
    output:
        predictions=directory(f"{NNUNET}/predictions"),
        provenance=f"{NNUNET}/provenance/predict_nnunet.json",
    log:
        f"{LOGS}/nnunet/predict_nnunet/{{split}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/nnunet/predict_nnunet/{{split}}/{{arm}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(6000, 2.0),
        runtime=120,
        gpu=1,
    params:
        commands=nnunet_commands,
        code=code("nnunet/predict_nnunet"),
    script:
        "../workflow_scripts/nnunet/predict_nnunet.py"


use rule score_segmentation as score_nnunet with:
    input:
        predictions=rules.predict_nnunet.output.predictions,
        images=preprocessed("test"),
        labels=preprocessed("test", "label"),
        drawn=drawn_labels,
        geometry=preprocessed("test", *FRAMES),
    output:
        scores=f"{NNUNET}/scores.csv",
        provenance=f"{NNUNET}/provenance/score_nnunet.json",
    log:
        f"{LOGS}/nnunet/score_nnunet/{{split}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/nnunet/score_nnunet/{{split}}/{{arm}}.tsv"


use rule collect_scores as collect_nnunet with:
    input:
        tables=expand(rules.score_nnunet.output.scores, split=SPLITS, arm=NNUNET_ARMS),
        splits=f"{COHORT}/splits.tsv",
    output:
        scores=f"{RESULTS}/nnunet/scores.csv",
        provenance=f"{RESULTS}/nnunet/provenance/collect_nnunet.json",
    log:
        f"{LOGS}/nnunet/collect_nnunet.log",
    benchmark:
        f"{BENCHMARKS}/nnunet/collect_nnunet.tsv"


use rule compare_arms as compare_nnunet with:
    input:
        scores=rules.collect_nnunet.output.scores,
        others=[],
    output:
        table=f"{RESULTS}/nnunet/comparisons.csv",
        provenance=f"{RESULTS}/nnunet/provenance/compare_nnunet.json",
    log:
        f"{LOGS}/nnunet/compare_nnunet.log",
    benchmark:
        f"{BENCHMARKS}/nnunet/compare_nnunet.tsv"
    params:
        opponent=NNUNET_ARMS[0],
        other_runs=[],
        confidence=CONFIG.evaluation.confidence,
        seed_sd=CONFIG.evaluation.seed_sd,
        code=code("evaluation/compare_arms"),


use rule summarise_segmentation as summarise_nnunet with:
    input:
        scores=rules.collect_nnunet.output.scores,
        comparisons=rules.compare_nnunet.output.table,
    output:
        csv=f"{RESULTS}/nnunet/segmentation.csv",
        markdown=f"{RESULTS}/nnunet/segmentation.md",
        latex=f"{RESULTS}/nnunet/segmentation.tex",
        provenance=f"{RESULTS}/nnunet/provenance/summarise_nnunet.json",
    log:
        f"{LOGS}/nnunet/summarise_nnunet.log",
    benchmark:
        f"{BENCHMARKS}/nnunet/summarise_nnunet.tsv"
