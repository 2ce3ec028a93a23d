"""The origin of a model: patients or phantoms, and the priors from which training started."""

from pathlib import Path

from workflow_scripts.common.files import read_json
from workflow_scripts.synthesis.folder import PHANTOMS

ORIGIN = "origin.json"


def origin_of(folder: str | Path) -> dict:
    """Whether a model was trained on ``phantoms`` (``None`` if unknown), and the ``priors`` from
    which its networks started, by stage."""
    file = Path(folder, ORIGIN)
    if file.is_file():
        return read_json(file)
    # Only a prior's folder has settings of phantoms.
    return {"phantoms": Path(folder, PHANTOMS).is_file() or None, "priors": {}}
