"""Networks that training starts from, so that a few patients need not teach all of it."""

from pathlib import Path

EMBEDDED = Path(__file__).resolve().parents[2] / "prior"


def prior_file(prior: str, name: str) -> Path | None:
    """A file of the prior's model folder; ``None`` where there is no prior.

    ``prior`` is ``embedded``, ``none``, or a model folder (``synthesis/folder.py``).
    """
    if prior == "none":
        return None
    return (EMBEDDED if prior == "embedded" else Path(prior)) / name
