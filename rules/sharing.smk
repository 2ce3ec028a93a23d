"""Results shared between runs: ``snakemake --cache``, with $SNAKEMAKE_OUTPUT_CACHE naming a folder.

Snakemake shares no rule with a benchmark, and warns in each run about rules that could be shared.
So rules are marked, and their benchmarks removed, only with ``--cache``.
"""

from snakemake.caching.rule import CacheFlag

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

if workflow.workflow_settings.cache is not None:
    for shared in map(workflow.get_rule, filter(workflow.is_rule, SHARED)):
        shared._benchmark = None
        shared.cache.flag |= CacheFlag.output
