"""Slices to latents and back: one autoencoder a split, from its training patients alone."""

AUTOENCODER = RESULTS + "/autoencoder/{split}"


def preprocessed(role):
    """Input function: the preprocessed images of a split's patients of a role."""

    def files(wildcards):
        patients = patients_of(wildcards.split, role)
        return expand(RESULTS + "/preprocess/{patient}/image.npy", patient=patients)

    return files


def held_out(wildcards):
    """Input function: images of the patients that no model of this split was fitted to."""
    return preprocessed("validation")(wildcards) + preprocessed("test")(wildcards)


rule train_autoencoder:
    input:
        images=preprocessed("train"),
    output:
        weights=AUTOENCODER + "/model/weights.safetensors",
        config=AUTOENCODER + "/model/config.json",
        history=AUTOENCODER + "/training.tsv",
        provenance=AUTOENCODER + "/provenance.json",
    log:
        LOGS + "/autoencoder/train_autoencoder/{split}.log",
    benchmark:
        BENCHMARKS + "/autoencoder/train_autoencoder/{split}.tsv"
    threads: 2
    resources:
        mem_mb=6000,
        runtime=720,
        gpu=1,
    params:
        settings=settings("autoencoder"),
        modalities=CONFIG.modalities,
        labels=CONFIG.labels,
        grid=GRID,
        seed=CONFIG.seed,
        checkpoints=RESULTS + "/checkpoints/autoencoder",
        tensorboard=lambda wildcards: f"{RESULTS}/tensorboard/autoencoder/{wildcards.split}",
        code=code("autoencoder/train_autoencoder"),
    script:
        "../workflow_scripts/autoencoder/train_autoencoder.py"


rule reconstruct_patients:
    input:
        weights=rules.train_autoencoder.output.weights,
        images=held_out,
    output:
        scores=AUTOENCODER + "/reconstruction.csv",
        patients=directory(AUTOENCODER + "/reconstructions"),
    log:
        LOGS + "/autoencoder/reconstruct_patients/{split}.log",
    benchmark:
        BENCHMARKS + "/autoencoder/reconstruct_patients/{split}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        code=code("autoencoder/reconstruct_patients"),
    script:
        "../workflow_scripts/autoencoder/reconstruct_patients.py"


rule encode_patients:
    input:
        weights=rules.train_autoencoder.output.weights,
        images=preprocessed("train"),
    output:
        latents=AUTOENCODER + "/latents.npy",
        attributes=AUTOENCODER + "/attributes.tsv",
    log:
        LOGS + "/autoencoder/encode_patients/{split}.log",
    benchmark:
        BENCHMARKS + "/autoencoder/encode_patients/{split}.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        copies=CONFIG.autoencoder.copies,
        seed=CONFIG.seed,
        code=code("autoencoder/encode_patients"),
    script:
        "../workflow_scripts/autoencoder/encode_patients.py"
