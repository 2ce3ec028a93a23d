"""Synthetic patients: image and label at once, with the tumour that was asked for."""

SYNTHESIS = f"{RESULTS}/synthesis/{{split}}"


rule draw_requests:
    input:
        autoencoder=rules.train_autoencoder.output.weights,
        diffusion=rules.train_diffusion.output.weights,
        attributes=rules.encode_patients.output.attributes,
        requests=CONFIG.synthesis.requests or [],
    output:
        requests=f"{SYNTHESIS}/requests.tsv",
        sweep=f"{SYNTHESIS}/sweep_requests.tsv",
    log:
        f"{LOGS}/synthesis/draw_requests/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/draw_requests/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        requests=CONFIG.synthesis.requests,
        patients=CONFIG.synthesis.patients,
        jitter=CONFIG.synthesis.jitter,
        sweep_ml=CONFIG.synthesis.sweep_ml,
        seed=CONFIG.seed,
        code=code("synthesis/draw_requests"),
    script:
        "../workflow_scripts/synthesis/draw_requests.py"


rule synthesise_patients:
    input:
        autoencoder=rules.train_autoencoder.output.weights,
        diffusion=rules.train_diffusion.output.weights,
        requests=rules.draw_requests.output.requests,
    output:
        patients=directory(f"{SYNTHESIS}/patients"),
        attributes=f"{SYNTHESIS}/attributes.tsv",
    log:
        f"{LOGS}/synthesis/synthesise_patients/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/synthesise_patients/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=6000,
        runtime=240,
        gpu=1,
    params:
        settings=settings("synthesis"),
        code=code("synthesis/synthesise_patients"),
    script:
        "../workflow_scripts/synthesis/synthesise_patients.py"


use rule synthesise_patients as synthesise_sweep with:
    input:
        autoencoder=rules.train_autoencoder.output.weights,
        diffusion=rules.train_diffusion.output.weights,
        requests=rules.draw_requests.output.sweep,
    output:
        patients=directory(f"{SYNTHESIS}/sweep"),
        attributes=f"{SYNTHESIS}/sweep_attributes.tsv",
    log:
        f"{LOGS}/synthesis/synthesise_sweep/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/synthesise_sweep/{{split}}.tsv"
