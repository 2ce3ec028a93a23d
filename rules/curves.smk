"""Quality against time of training, and against steps of sampling: `make curves`."""

from workflow_scripts.bench.runs import run_values, runs

CURVES = f"{BENCH}/curves"
RUNS = runs(CONFIG.bench)
# One split tells; what differs between systems is larger than what differs between splits.
CURVE_SPLIT = SPLITS[0]


def run_names(rival):
    """Pattern of the names of runs: of MONAI's example, or of this workflow."""
    names = [name for name, run in RUNS.items() if (run["setup"] is None) == rival]
    return "|".join(names) or "none"


def of_run(key):
    """Parameter function: a value of the run."""
    return lambda wildcards: RUNS[wildcards.run][key]


def on_curve_split(role, *names):
    """Input function: files of the patients of a role in the split that is measured."""
    return lambda wildcards: arrays(patients_of(CURVE_SPLIT, role), names)


def curve_judge():
    """The segmentation network that measures, of that split."""
    return {name: file and file.replace("{split}", CURVE_SPLIT) for name, file in judge().items()}


rule run_setup:
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
        run=run_names(rival=False),
    conda:
        "../envs/workflow.yaml"
    # All of the machine, so that times compare.
    threads: max(1, workflow.cores or 1)
    resources:
        mem_mb=16000,
        runtime=720,
        gpu=1,
    params:
        configuration=lambda wildcards: run_values(ROOT, CONFIG, RUNS[wildcards.run]),
        split=CURVE_SPLIT,
        snakefile=str(ROOT / "Snakefile"),
        folder=lambda wildcards: f"{CURVES}/work/{wildcards.run}",
        shared=f"{CURVES}/work/shared",
        code=code("bench/run_setup"),
    script:
        "../workflow_scripts/bench/run_setup.py"


rule run_ldm3d:
    input:
        train=on_curve_split("train", "image"),
        train_labels=on_curve_split("train", "label"),
        test=on_curve_split("test", "image"),
        test_labels=on_curve_split("test", "label", "brain"),
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
        run=run_names(rival=True),
    conda:
        "../envs/workflow.yaml"
    threads: max(1, workflow.cores or 1)
    resources:
        mem_mb=16000,
        runtime=720,
        gpu=1,
    params:
        configuration=CONFIG.model_dump(mode="json"),
        steps=of_run("steps"),
        seed=CONFIG.seed,
        code=code("bench/run_ldm3d"),
    script:
        "../workflow_scripts/bench/run_ldm3d.py"


rule judge_run:
    input:
        **curve_judge(),
        reconstruction=f"{CURVES}/{{run}}/reconstruction.csv",
        patients=f"{CURVES}/{{run}}/patients",
        times=f"{CURVES}/{{run}}/times.json",
        test=on_curve_split("test", "image"),
        train=on_curve_split("train", "image"),
        masks=on_curve_split("test", "foreground"),
        train_masks=on_curve_split("train", "foreground"),
    output:
        table=f"{CURVES}/{{run}}/quality.csv",
        provenance=f"{CURVES}/{{run}}/provenance/judge_run.json",
    log:
        f"{LOGS}/bench/judge_run/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/bench/judge_run/{{run}}.tsv"
    wildcard_constraints:
        run="|".join(RUNS) or "none",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 1.0),
        runtime=60,
        gpu=1,
    params:
        system=of_run("system"),
        steps=lambda wildcards: list(RUNS[wildcards.run]["steps"].values())[-1],
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
