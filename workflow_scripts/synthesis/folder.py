"""A model folder: all that is needed to synthesise patients.

It holds no image, but it is made from the training patients: weights that learned from them, the
sizes, shapes and places of their tumours, and the contrasts of their brains; without a prior also
their mean latent.

======================================  ===========================================================
``autoencoder/``, ``diffusion/``        ``weights.safetensors`` and ``config.json`` (network, grid,
                                        modalities, labels, latent and condition scaling)
``attributes.tsv``                      tumours of the training patients and their augmented copies
``brain.nii.gz``                        where at least half of the training patients have brain
``sampling.json``                       how patients are sampled where the user says nothing
``template.nii.gz``                     MNI152 on the model's grid, to look at requests
======================================  ===========================================================
"""

from pathlib import Path

from workflow_scripts.common.files import UserError

STAGES = ("autoencoder", "diffusion")
FILES = (
    *(f"{stage}/{name}" for stage in STAGES for name in ("weights.safetensors", "config.json")),
    "attributes.tsv",
    "brain.nii.gz",
    "sampling.json",
    "template.nii.gz",
)
# What a rule names as its inputs of the training patients and their copies.
COPIES = ("attributes", "latents", "tissue", "contrasts", "tumours")


def check_model_folder(folder: str | Path) -> None:
    """Raise ``UserError`` naming the files that a model folder lacks."""
    absent = [name for name in FILES if not Path(folder, name).is_file()]
    if absent:
        raise UserError(f"{folder}: is no model folder, {', '.join(absent)} are missing")
