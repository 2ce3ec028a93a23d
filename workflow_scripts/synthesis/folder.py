"""A model folder: everything that synthesis needs.

It contains no image, but it is derived from the training patients: weights trained on them, the
volumes, shapes and centroids of their tumours, the contrasts of their brains, and the intensities
of their tumours' regions; without a prior also their mean latent.

======================================  ===========================================================
``autoencoder/``, ``diffusion/``        ``weights.safetensors`` and ``config.json`` (network, grid,
                                        modalities, labels, latent and condition scaling)
``attributes.tsv``                      tumours of the training patients and their augmented copies
``brain.nii.gz``                        where at least half of the training patients have brain
``sampling.json``                       how patients are sampled where the user says nothing
``template.nii.gz``                     MNI152 on the model's grid, to display requests
``origin.json``                         whether the training patients are phantoms, and the priors
                                        that training started from; absent in older folders
``checksums.json``                      SHA-256 of each file but ``sampling.json``, which a user may
                                        change
======================================  ===========================================================
"""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.common.files import UserError, read_json, write_json
from workflow_scripts.common.provenance import checksum

CHECKSUMS, SAMPLING = "checksums.json", "sampling.json"
# Additional file of a prior's model folder: the settings of its phantoms.
PHANTOMS = "phantom.json"
STAGES = ("autoencoder", "diffusion")
FILES = (
    *(f"{stage}/{name}" for stage in STAGES for name in ("weights.safetensors", "config.json")),
    "attributes.tsv",
    "brain.nii.gz",
    SAMPLING,
    "template.nii.gz",
    CHECKSUMS,
)
CHECKED = tuple(name for name in FILES if name not in (CHECKSUMS, SAMPLING))
# Names of a rule's inputs with the training patients and their copies.
COPIES = ("attributes", "latents", "tissue", "contrasts", "intensities", "tumours")


def write_checksums(folder: str | Path) -> None:
    """Write the checksums of a model folder's files."""
    write_json({name: checksum(Path(folder, name)) for name in CHECKED}, Path(folder, CHECKSUMS))


def check_files(folder: str | Path, names: Sequence[str]) -> None:
    """Raise ``UserError`` naming the first of a model folder's files that has changed."""
    listing = Path(folder, CHECKSUMS)
    known = read_json(listing)
    if not isinstance(known, dict):
        raise UserError(f"{listing}: is damaged, it has no checksums of files")
    for name in names:
        if known.get(name) != checksum(Path(folder, name)):
            raise UserError(
                f"{Path(folder, name)}: is not the file that {CHECKSUMS} names: it is damaged, or "
                f"of another model; copy the whole folder again"
            )


def check_model_folder(folder: str | Path) -> None:
    """Raise ``UserError`` naming the files that a model folder lacks, or one that has changed."""
    absent = [name for name in FILES if not Path(folder, name).is_file()]
    if absent:
        raise UserError(f"{folder}: is no model folder, it lacks {', '.join(absent)}")
    check_files(folder, CHECKED)
