"""The prior: networks from which other runs start, small enough for a repository: `make prior`."""

from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.synthesis.folder import FILES


rule export_prior:
    input:
        sampling=expand(rules.export_model.output.sampling, split=SHOWN)[0],
        autoencoder=expand(rules.train_autoencoder.output.provenance, split=SHOWN)[0],
        diffusion=expand(rules.train_diffusion.output.provenance, split=SHOWN)[0],
    output:
        files=[f"{RESULTS}/prior/{name}" for name in FILES],
        training=f"{RESULTS}/prior/training.json",
        phantom=f"{RESULTS}/prior/phantom.json",
        provenance=f"{RESULTS}/synthesis/provenance/export_prior.json",
    log:
        f"{LOGS}/synthesis/export_prior.log",
    benchmark:
        f"{BENCHMARKS}/synthesis/export_prior.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        phantom=CONFIG.cohort.phantom.part(PhantomSettings),
        code=code("synthesis/export_prior"),
    script:
        "../workflow_scripts/synthesis/export_prior.py"
