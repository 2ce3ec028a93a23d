"""The cohort: patients' files, splits, and the embedded phantoms."""

from workflow_scripts.cohort.listing import listing_digest
from workflow_scripts.phantoms.settings import PhantomSettings

COHORT = f"{RESULTS}/cohort"
PHANTOMS = f"{COHORT}/phantoms"
TABLES = {}


checkpoint list_participants:
    input:
        listing=cohort_listing(),
    output:
        participants=f"{COHORT}/participants.tsv",
        problems=f"{COHORT}/problems.tsv",
        provenance=f"{COHORT}/provenance/list_participants.json",
    log:
        f"{LOGS}/cohort/list_participants.log",
    benchmark:
        f"{BENCHMARKS}/cohort/list_participants.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        source=CONFIG.cohort.source,
        root=CONFIG.cohort.root,
        table=CONFIG.cohort.table,
        label_scheme=CONFIG.cohort.label_scheme,
        geometry=CONFIG.cohort.geometry,
        exclude=CONFIG.cohort.exclude,
        on_error=CONFIG.cohort.on_error,
        files=listing_digest(CONFIG.cohort, CONFIG.modalities),
        phantom=CONFIG.cohort.phantom.part(PhantomSettings),
        patients=CONFIG.cohort.phantom_count,
        folder="" if ON_GRID else PHANTOMS,
        modalities=CONFIG.modalities,
        seed=CONFIG.seed,
        code=code("cohort/list_participants"),
    script:
        "../workflow_scripts/cohort/list_participants.py"


checkpoint draw_splits:
    input:
        participants=f"{COHORT}/participants.tsv",
    output:
        splits=f"{COHORT}/splits.tsv",
        provenance=f"{COHORT}/provenance/draw_splits.json",
    log:
        f"{LOGS}/cohort/draw_splits.log",
    benchmark:
        f"{BENCHMARKS}/cohort/draw_splits.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        settings=settings("cohort")["splits"],
        code=code("cohort/draw_splits"),
    script:
        "../workflow_scripts/cohort/draw_splits.py"


rule make_phantom:
    output:
        **named(f"{PHANTOMS}/{{patient}}/*.nii.gz", CONFIG.modalities),
        label=f"{PHANTOMS}/{{patient}}/label.nii.gz",
        brain_mask=f"{PHANTOMS}/{{patient}}/brain_mask.nii.gz",
        truth=f"{PHANTOMS}/{{patient}}/truth.json",
        provenance=f"{PHANTOMS}/{{patient}}/provenance/make_phantom.json",
    log:
        f"{LOGS}/cohort/make_phantom/{{patient}}.log",
    benchmark:
        f"{BENCHMARKS}/cohort/make_phantom/{{patient}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=15,
    params:
        patient="{patient}",
        settings=CONFIG.cohort.phantom.part(PhantomSettings),
        modalities=CONFIG.modalities,
        seed=CONFIG.seed,
        code=code("cohort/make_phantom"),
    script:
        "../workflow_scripts/cohort/make_phantom.py"
