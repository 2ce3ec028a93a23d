"""Networks that training starts from, so that a few patients need not teach all of it."""

import os
from pathlib import Path

EMBEDDED = Path(__file__).resolve().parents[2] / "prior"


def prior_file(prior: str, name: str) -> Path | None:
    """A file of the prior's model folder; ``None`` where there is no prior.

    ``prior`` is ``embedded``, ``none``, or a model folder (``synthesis/folder.py``). The embedded
    one is named from the working directory, so that a project that was moved, or unpacked from an
    archive, names it as before.
    """
    if prior == "none":
        return None
    return Path(os.path.relpath(EMBEDDED) if prior == "embedded" else prior) / name
