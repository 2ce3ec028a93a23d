"""The two configurations of a benchmark: ours, and the paper's on volumes of the same size."""

from pathlib import Path

from workflow_scripts.common.files import UserError
from workflow_scripts.configuration import check, read_config

DEFAULTS, PAPER = "config.yaml", "config/paper.yaml"
# Keys that determine the volumes of a run.
VOLUMES = ("modalities", "labels", "grid")


def compared(root: str | Path, setup: str) -> dict[str, dict]:
    """The configuration of the file ``setup``, and the paper's for the same volumes.

    Names are relative to the project's folder ``root``. Raises ``UserError`` for a file that cannot
    be read, and for a grid that does not fit the paper's networks.
    """
    root = Path(root)
    ours, paper = (
        read_config(root / DEFAULTS, root / file).model_dump(mode="json") for file in (setup, PAPER)
    )
    try:
        theirs = check(paper | {name: ours[name] for name in VOLUMES})
    except UserError as error:
        raise UserError(f"bench.setups: {PAPER} on the volumes of {setup}: {error}") from None
    return {"sbldm": ours, "paper": theirs.model_dump(mode="json")}
