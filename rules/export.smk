"""Real and synthetic patients for other frameworks, on request."""

EXPORTED = [f"{name}.nii.gz" for name in (*CONFIG.modalities, "label")]


rule export_datasets:
    input:
        splits=f"{COHORT}/splits.tsv",
        volumes=lambda wildcards: [
            file
            for role in ("train", "validation", "test")
            for file in preprocessed(role, *EXPORTED)(wildcards)
        ],
        synthetic=rules.synthesise_patients.output.patients,
    output:
        datasets=directory(f"{RESULTS}/export/{{split}}"),
        provenance=f"{RESULTS}/export/provenance/{{split}}.json",
    log:
        f"{LOGS}/export/export_datasets/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/export/export_datasets/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=60,
    params:
        modalities=CONFIG.modalities,
        labels=CONFIG.labels,
        code=code("export/export_datasets"),
    script:
        "../workflow_scripts/export/export_datasets.py"


rule export_bundle:
    input:
        weights=rules.train_segmentation.output.weights,
        config=rules.train_segmentation.output.config,
    output:
        bundle=directory(f"{RESULTS}/export/bundles/{{split}}/{{arm}}"),
        provenance=f"{RESULTS}/export/provenance/bundles/{{split}}/{{arm}}.json",
    log:
        f"{LOGS}/export/export_bundle/{{split}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/export/export_bundle/{{split}}/{{arm}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("export/export_bundle"),
    script:
        "../workflow_scripts/export/export_bundle.py"
