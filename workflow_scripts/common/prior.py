"""Pretrained networks from which training starts."""

import os
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.common.files import read_json
from workflow_scripts.common.grid import Grid

_ROOT = Path(__file__).resolve().parents[2]
# The priors in the repository, by their names in the configuration.
PRIORS = {"embedded": _ROOT / "prior", "embedded-brats": _ROOT / "prior-brats"}
EMBEDDED = PRIORS["embedded"]


def prior_file(prior: str, name: str) -> Path | None:
    """A file in the prior's model folder; ``None`` without a prior.

    ``prior`` is one of ``PRIORS``, ``none``, or a model folder (``synthesis/folder.py``). Paths of
    the project's priors are relative to the working directory, so that they do not change when the
    project is moved or unpacked from an archive.
    """
    if prior == "none":
        return None
    folder = os.path.relpath(PRIORS[prior]) if prior in PRIORS else prior
    return Path(folder) / name


def fitting_autoencoder(modalities: Sequence[str], labels: str, grid: Grid) -> Path | None:
    """The folder of the project's autoencoder for these modalities, this region set and this grid;
    ``None`` if there is none."""
    for prior in PRIORS.values():
        config = prior / "autoencoder" / "config.json"
        if config.is_file():  # missing while it is trained for the first time
            known = read_json(config)
            same = known["modalities"] == list(modalities) and known["labels"] == labels
            if same and Grid.from_settings(known["grid"]) == grid:
                return config.parent
    return None
