"""Thousands of phantoms, generated directly on the grid, to train a prior."""

from workflow_scripts.common.patients import ARRAYS
from workflow_scripts.phantoms.plan import phantom_ids
from workflow_scripts.phantoms.settings import PhantomSettings

PHANTOM_IDS = phantom_ids(CONFIG.cohort.phantom_count, on_grid=True)


# One job for all: a phantom takes a second, the start of a job several.
rule make_phantoms:
    output:
        arrays=arrays(PHANTOM_IDS, [*ARRAYS, "tissue"]),
        provenance=f"{RESULTS}/preprocess/provenance/make_phantoms.json",
    log:
        f"{LOGS}/preprocess/make_phantoms.log",
    benchmark:
        f"{BENCHMARKS}/preprocess/make_phantoms.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(1500, 3.0),
        runtime=720,
    params:
        patients=PHANTOM_IDS,
        phantom=CONFIG.cohort.phantom.part(PhantomSettings),
        preprocess=settings("preprocess"),
        modalities=CONFIG.modalities,
        grid=GRID,
        seed=CONFIG.seed,
        checkpoints=f"{RESULTS}/checkpoints/preprocess",
        code=code("preprocess/make_phantoms"),
    script:
        "../workflow_scripts/preprocess/make_phantoms.py"
