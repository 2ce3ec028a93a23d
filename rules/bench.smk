"""Speed and memory beside the paper's networks and MONAI's: `make bench`."""

from workflow_scripts.bench.compared import compared

BENCH = f"{RESULTS}/bench"
SETUPS = {Path(setup).stem: setup for setup in CONFIG.bench.setups}
REPETITIONS = range(1, CONFIG.bench.repetitions + 1)


rule measure_speed:
    output:
        table=f"{BENCH}/{{setup}}/{{repetition}}.csv",
        provenance=f"{BENCH}/{{setup}}/provenance/{{repetition}}.json",
    log:
        f"{LOGS}/bench/measure_speed/{{setup}}-{{repetition}}.log",
    benchmark:
        f"{BENCHMARKS}/bench/measure_speed/{{setup}}-{{repetition}}.tsv"
    wildcard_constraints:
        setup="|".join(SETUPS),
        repetition=r"\d+",
    conda:
        "../envs/workflow.yaml"
    # All cores, so that no other job of this run affects the times.
    threads: max(1, workflow.cores or 1)
    resources:
        mem_mb=16000,
        runtime=240,
        gpu=1,
    params:
        configs=lambda wildcards: compared(ROOT, SETUPS[wildcards.setup]),
        # Separates the stored progress of killed jobs.
        repetition=lambda wildcards: wildcards.repetition,
        seconds=CONFIG.bench.seconds,
        slices=CONFIG.bench.slices,
        volumes=CONFIG.bench.volumes,
        checkpoints=f"{RESULTS}/checkpoints/bench",
        code=code("bench/measure_speed"),
    script:
        "../workflow_scripts/bench/measure_speed.py"


rule collect_bench:
    input:
        tables=expand(rules.measure_speed.output.table, setup=SETUPS, repetition=REPETITIONS),
        provenance=expand(
            rules.measure_speed.output.provenance, setup=SETUPS, repetition=REPETITIONS
        ),
    output:
        table=f"{BENCH}/bench.csv",
        markdown=f"{BENCH}/bench.md",
        provenance=f"{BENCH}/provenance/collect_bench.json",
    log:
        f"{LOGS}/bench/collect_bench.log",
    benchmark:
        f"{BENCHMARKS}/bench/collect_bench.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        slices=CONFIG.bench.slices,
        volumes=CONFIG.bench.volumes,
        code=code("bench/collect_bench"),
    script:
        "../workflow_scripts/bench/collect_bench.py"
