"""Networks that training starts from, so that a few patients need not teach all of it."""

import os
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
# The priors that come with the project, by the names that a configuration gives them.
PRIORS = {"embedded": _ROOT / "prior", "embedded-brats": _ROOT / "prior-brats"}
EMBEDDED = PRIORS["embedded"]
AUTOENCODERS = tuple(folder / "autoencoder" for folder in PRIORS.values())


def prior_file(prior: str, name: str) -> Path | None:
    """A file of the prior's model folder; ``None`` where there is no prior.

    ``prior`` is one of ``PRIORS``, ``none``, or a model folder (``synthesis/folder.py``). Those of
    the project are named from the working directory, so that a project that was moved, or unpacked
    from an archive, names them as before.
    """
    if prior == "none":
        return None
    folder = os.path.relpath(PRIORS[prior]) if prior in PRIORS else prior
    return Path(folder) / name
