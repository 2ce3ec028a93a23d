"""Where a model comes from: patients or phantoms, and the priors that training started from."""

from pathlib import Path

from workflow_scripts.common.files import read_json
from workflow_scripts.synthesis.folder import PHANTOMS

ORIGIN = "origin.json"


def origin_of(folder: str | Path) -> dict:
    """Whether a model learned from ``phantoms`` (``None`` where the folder does not say), and the
    ``priors`` that its networks started from, by stage."""
    file = Path(folder, ORIGIN)
    if file.is_file():
        return read_json(file)
    # The folder of a prior says what its phantoms look like.
    return {"phantoms": Path(folder, PHANTOMS).is_file() or None, "priors": {}}
