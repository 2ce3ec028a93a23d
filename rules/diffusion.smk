"""The conditional denoiser of stacked latents, one a split."""

DIFFUSION = RESULTS + "/diffusion/{split}"


rule train_diffusion:
    input:
        latents=rules.encode_patients.output.latents,
        attributes=rules.encode_patients.output.attributes,
    output:
        weights=DIFFUSION + "/model/weights.safetensors",
        config=DIFFUSION + "/model/config.json",
        history=DIFFUSION + "/training.tsv",
        provenance=DIFFUSION + "/provenance.json",
    log:
        LOGS + "/diffusion/train_diffusion/{split}.log",
    benchmark:
        BENCHMARKS + "/diffusion/train_diffusion/{split}.tsv"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=1,
    params:
        settings=settings("diffusion"),
        grid=GRID,
        seed=CONFIG.seed,
        checkpoints=RESULTS + "/checkpoints/diffusion",
        tensorboard=lambda wildcards: f"{RESULTS}/tensorboard/diffusion/{wildcards.split}",
        code=code("diffusion/train_diffusion"),
    script:
        "../workflow_scripts/diffusion/train_diffusion.py"
