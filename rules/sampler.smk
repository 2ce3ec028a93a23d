"""The choice of guidance, stochasticity and steps of the sampler: `make sampler`."""

from workflow_scripts.bench.sampler_candidates import PARTS, settings_grid

SAMPLER = f"{BENCH}/sampler"
SETTINGS = settings_grid(CONFIG.bench.sampler)


rule make_held_out:
    input:
        **sampler_model("phantom"),
    output:
        requests=f"{SAMPLER}/{{part}}/requests.tsv",
        reference=f"{SAMPLER}/{{part}}/reference.csv",
        provenance=f"{SAMPLER}/{{part}}/provenance/make_held_out.json",
    log:
        f"{LOGS}/bench/make_held_out/{{part}}.log",
    benchmark:
        f"{BENCHMARKS}/bench/make_held_out/{{part}}.tsv"
    wildcard_constraints:
        part="|".join(PARTS),
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000, 3.0),
        runtime=60,
        gpu=1,
    params:
        part=lambda wildcards: wildcards.part,
        phantoms=CONFIG.bench.sampler.phantoms,
        preprocess=settings("preprocess"),
        seed=CONFIG.seed,
        checkpoints=f"{RESULTS}/checkpoints/bench",
        code=code("bench/make_held_out"),
    script:
        "../workflow_scripts/bench/make_held_out.py"


# One job per setting: a run that was stopped resumes with the remaining settings.
rule sample_setting:
    input:
        **sampler_model("sampling"),
        requests=f"{SAMPLER}/choose/requests.tsv",
    output:
        table=f"{SAMPLER}/choose/settings/{{setting}}.csv",
        provenance=f"{SAMPLER}/choose/provenance/sample_setting/{{setting}}.json",
    log:
        f"{LOGS}/bench/sample_setting/{{setting}}.log",
    benchmark:
        f"{BENCHMARKS}/bench/sample_setting/{{setting}}.tsv"
    wildcard_constraints:
        setting=r"g[\d.]+-s[\d.]+-n\d+",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 1.0),
        runtime=120,
        gpu=1,
    params:
        setting=lambda wildcards: SETTINGS[wildcards.setting],
        code=code("bench/sample_setting"),
    script:
        "../workflow_scripts/bench/sample_setting.py"


rule choose_setting:
    input:
        sampling=sampler_model("sampling")["sampling"],
        reference=f"{SAMPLER}/choose/reference.csv",
        tables=expand(rules.sample_setting.output.table, setting=SETTINGS),
    output:
        table=f"{SAMPLER}/settings.csv",
        # Replaces the model folder's sampling.json.
        chosen=f"{SAMPLER}/sampling.json",
        provenance=f"{SAMPLER}/provenance/choose_setting.json",
    log:
        f"{LOGS}/bench/choose_setting.log",
    benchmark:
        f"{BENCHMARKS}/bench/choose_setting.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        settings=list(SETTINGS.values()),
        confidence=CONFIG.evaluation.confidence,
        code=code("bench/choose_setting"),
    script:
        "../workflow_scripts/bench/choose_setting.py"


rule report_setting:
    input:
        **sampler_model("sampling"),
        requests=f"{SAMPLER}/report/requests.tsv",
        reference=f"{SAMPLER}/report/reference.csv",
        table=rules.choose_setting.output.table,
        chosen=rules.choose_setting.output.chosen,
    output:
        table=f"{SAMPLER}/sampler.csv",
        markdown=f"{SAMPLER}/sampler.md",
        provenance=f"{SAMPLER}/provenance/report_setting.json",
    log:
        f"{LOGS}/bench/report_setting.log",
    benchmark:
        f"{BENCHMARKS}/bench/report_setting.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 1.0),
        runtime=120,
        gpu=1,
    params:
        model=CONFIG.bench.sampler.model,
        phantoms=CONFIG.bench.sampler.phantoms,
        confidence=CONFIG.evaluation.confidence,
        code=code("bench/report_setting"),
    script:
        "../workflow_scripts/bench/report_setting.py"
