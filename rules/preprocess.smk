"""Preprocessing from raw files to the template grid, one job per patient."""

PREPROCESS = f"{RESULTS}/preprocess/{{patient}}"


rule preprocess_patient:
    input:
        unpack(raw_files),
    output:
        **named(f"{PREPROCESS}/*.nii.gz", [*CONFIG.modalities, "label", "brain"], "_nifti"),
        **named(f"{PREPROCESS}/*_to_reference.tfm", CONFIG.modalities, "_to_reference"),
        image=f"{PREPROCESS}/image.npy",
        label=f"{PREPROCESS}/label.npy",
        brain=f"{PREPROCESS}/brain.npy",
        foreground=f"{PREPROCESS}/foreground.npy",
        tissue=f"{PREPROCESS}/tissue.npy",
        attributes=f"{PREPROCESS}/attributes.tsv",
        native=f"{PREPROCESS}/native.json",
        to_template=f"{PREPROCESS}/to_template.tfm",
        picture=report(
            f"{PREPROCESS}/picture.png",
            category="Patients",
            labels={"patient": "{patient}"},
            caption="../report/picture.rst",
        ),
        provenance=f"{PREPROCESS}/provenance/preprocess_patient.json",
    log:
        f"{LOGS}/preprocess/preprocess_patient/{{patient}}.log",
    benchmark:
        f"{BENCHMARKS}/preprocess/preprocess_patient/{{patient}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=30,
    params:
        settings=settings("preprocess"),
        modalities=CONFIG.modalities,
        grid=GRID,
        reading=raw_reading,
        code=code("preprocess/preprocess_patient"),
    script:
        "../workflow_scripts/preprocess/preprocess_patient.py"
