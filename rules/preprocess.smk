"""One patient a job, from raw files to the grid of template space."""

PREPROCESS = f"{RESULTS}/preprocess/{{patient}}"


rule preprocess_patient:
    input:
        unpack(raw_files),
    output:
        image=f"{PREPROCESS}/image.npy",
        label=f"{PREPROCESS}/label.npy",
        brain=f"{PREPROCESS}/brain.npy",
        volumes=expand(
            f"{PREPROCESS}/{{volume}}.nii.gz",
            volume=[*CONFIG.modalities, "label", "brain"],
            allow_missing=True,
        ),
        attributes=f"{PREPROCESS}/attributes.tsv",
        native=f"{PREPROCESS}/native.json",
        to_template=f"{PREPROCESS}/to_template.tfm",
        to_reference=expand(
            f"{PREPROCESS}/{{modality}}_to_reference.tfm",
            modality=CONFIG.modalities,
            allow_missing=True,
        ),
        picture=f"{PREPROCESS}/picture.png",
    log:
        f"{LOGS}/preprocess/preprocess_patient/{{patient}}.log",
    benchmark:
        f"{BENCHMARKS}/preprocess/preprocess_patient/{{patient}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=settings("preprocess"),
        modalities=CONFIG.modalities,
        grid=GRID,
        row=lambda wildcards: participant(wildcards.patient),
        code=code("preprocess/preprocess_patient"),
    script:
        "../workflow_scripts/preprocess/preprocess_patient.py"
