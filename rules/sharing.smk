"""Results shared between runs: ``snakemake --cache``, with $SNAKEMAKE_OUTPUT_CACHE naming a folder."""

SHARED = [
    "make_phantom",
    "preprocess_patient",
    "train_autoencoder",
    "reconstruct_patients",
    "encode_patients",
    "train_diffusion",
    "draw_requests",
    "draw_sweep",
    "draw_implants",
    "synthesise_patients",
    "synthesise_sweep",
    "synthesise_implants",
    "train_segmentation",
    "predict_segmentation",
]

snakemake_internals.share(workflow, SHARED)
