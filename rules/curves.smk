"""Quality against training time, and against sampling steps: `make curves`."""

from workflow_scripts.bench.runs import SCRIPTS, priors, run_values, runs, shared_values

CURVES = f"{BENCH}/curves"
RUNS = runs(CONFIG.bench)
# One split is enough: systems differ more than splits.
CURVE_SPLIT = SPLITS[0]
# Wildcard patterns for runs of this workflow, and of MONAI's example.
OF_SETUPS = "|".join(name for name, run in RUNS.items() if run["setup"]) or "none"
OF_LDM3D = "|".join(name for name, run in RUNS.items() if not run["setup"]) or "none"


rule run_setup:
    input:
        # The inner run reads the cohort and the prior itself; as inputs they trigger a rerun when
        # they change.
        patients=everybody("train", "image", "label", splits=[CURVE_SPLIT]),
        held_out=everybody("test", "image", "label", splits=[CURVE_SPLIT]),
        prior=lambda wildcards: priors(run_values(ROOT, CONFIG, RUNS[wildcards.run])),
    output:
        reconstruction=f"{CURVES}/{{run}}/reconstruction.csv",
        patients=directory(f"{CURVES}/{{run}}/patients"),
        times=f"{CURVES}/{{run}}/times.json",
        provenance=f"{CURVES}/{{run}}/provenance/run_setup.json",
    log:
        f"{LOGS}/bench/run_setup/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/bench/run_setup/{{run}}.tsv"
    wildcard_constraints:
        run=OF_SETUPS,
    conda:
        "../envs/workflow.yaml"
    # All cores, so that times are comparable.
    threads: max(1, workflow.cores or 1)
    resources:
        mem_mb=16000,
        runtime=720,
        gpu=1,
    params:
        configuration=lambda wildcards: run_values(ROOT, CONFIG, RUNS[wildcards.run]),
        split=CURVE_SPLIT,
        snakefile=str(ROOT / "Snakefile"),
        folder=lambda wildcards: f"{CURVES}/runs/{wildcards.run}",
        shared=f"{CURVES}/runs/shared",
        code=[code(script) for script in SCRIPTS],
    script:
        "../workflow_scripts/bench/run_setup.py"


rule run_ldm3d:
    input:
        train=everybody("train", "image", splits=[CURVE_SPLIT]),
        train_labels=everybody("train", "label", splits=[CURVE_SPLIT]),
        test=everybody("test", "image", splits=[CURVE_SPLIT]),
        test_labels=everybody("test", "label", "brain", splits=[CURVE_SPLIT]),
    output:
        reconstruction=f"{CURVES}/{{run}}/reconstruction.csv",
        patients=directory(f"{CURVES}/{{run}}/patients"),
        times=f"{CURVES}/{{run}}/times.json",
        provenance=f"{CURVES}/{{run}}/provenance/run_ldm3d.json",
    log:
        f"{LOGS}/bench/run_ldm3d/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/bench/run_ldm3d/{{run}}.tsv"
    wildcard_constraints:
        run=OF_LDM3D,
    conda:
        "../envs/workflow.yaml"
    threads: max(1, workflow.cores or 1)
    resources:
        mem_mb=16000,
        runtime=720,
        gpu=1,
    params:
        configuration=shared_values(CONFIG),
        steps=lambda wildcards: RUNS[wildcards.run]["steps"],
        seed=CONFIG.seed,
        code=code("bench/run_ldm3d"),
    script:
        "../workflow_scripts/bench/run_ldm3d.py"


rule judge_run:
    input:
        reconstruction=f"{CURVES}/{{run}}/reconstruction.csv",
        patients=f"{CURVES}/{{run}}/patients",
        times=f"{CURVES}/{{run}}/times.json",
        test=everybody("test", "image", splits=[CURVE_SPLIT]),
        train=everybody("train", "image", splits=[CURVE_SPLIT]),
        masks=everybody("test", "label", "foreground", splits=[CURVE_SPLIT]),
        train_masks=everybody("train", "label", "foreground", splits=[CURVE_SPLIT]),
    output:
        table=f"{CURVES}/{{run}}/quality.csv",
        provenance=f"{CURVES}/{{run}}/provenance/judge_run.json",
    log:
        f"{LOGS}/bench/judge_run/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/bench/judge_run/{{run}}.tsv"
    wildcard_constraints:
        run=f"{OF_SETUPS}|{OF_LDM3D}",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 1.0),
        runtime=60,
        gpu=1,
    params:
        system=lambda wildcards: RUNS[wildcards.run]["system"],
        steps=lambda wildcards: list(RUNS[wildcards.run]["steps"].values())[-1],
        modalities=CONFIG.modalities,
        labels=CONFIG.labels,
        grid=GRID,
        seed=CONFIG.seed,
        judge=JUDGE,
        code=code("bench/judge_run"),
    script:
        "../workflow_scripts/bench/judge_run.py"


rule collect_curves:
    input:
        tables=expand(rules.judge_run.output.table, run=RUNS),
    output:
        table=f"{BENCH}/curves.csv",
        time=f"{BENCH}/quality_against_time.png",
        steps=f"{BENCH}/quality_against_steps.png",
        provenance=f"{BENCH}/provenance/collect_curves.json",
    log:
        f"{LOGS}/bench/collect_curves.log",
    benchmark:
        f"{BENCHMARKS}/bench/collect_curves.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("bench/collect_curves"),
    script:
        "../workflow_scripts/bench/collect_curves.py"
