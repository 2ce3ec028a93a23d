"""What a table of requests must hold, told without loading any network."""

import difflib
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.common.attributes import AXES, CONDITIONS, SHARES
from workflow_scripts.common.files import UserError

CENTROID = tuple(f"centroid_{a}_mm" for a in AXES)
REQUIRED = ("volume_ml", *CENTROID)
BOX = tuple(f"box_{axis}_mm" for axis in AXES)
# Columns whose cells may be empty.
OPTIONAL = (*BOX, *SHARES)
KNOWN = ("patient_id", "seed", *CONDITIONS, *SHARES, "anatomy")
# Of the ``anatomy`` of a request: ``training:<patient>/<copy>``, copy 0 being the patient.
TRAINING = "training:"
# The anatomy of a request that names no folder: a phantom's, a new one for each seed.
PHANTOM = "phantom"
# A column of another name that is so much like one of these is a mistyped one.
ALIKE = 0.75
LARGEST_SEED = 2**63 - 1


def source_of(anatomy: str) -> str:
    """Whose brain a synthetic patient has: nobody's (empty) where it is a phantom's, else a
    training patient's name or that of a folder, without its path."""
    if anatomy == PHANTOM:
        return ""
    if is_training(anatomy):
        return anatomy.removeprefix(TRAINING).rsplit("/", 1)[0]
    return Path(anatomy).name


def is_training(anatomy: str) -> bool:
    """Whether a request's anatomy is a training patient's."""
    return anatomy.startswith(TRAINING)


def check_requests(table: pd.DataFrame) -> None:
    """Raise ``UserError`` naming the column, row or value that no request can have.

    ``table`` has a row a request and at least the columns ``REQUIRED``; cells of ``OPTIONAL``
    columns may be empty.
    """
    _check_columns(table)
    if table.empty:
        raise UserError("requests: the table has no rows")
    if "patient_id" in table:
        _check_names(table["patient_id"].astype(str))
    if "anatomy" in table:
        _check_folders(table["anatomy"])
    for name in (*REQUIRED, "sphericity", "seed", *OPTIONAL):
        if name in table:
            _check_numbers(name, table[name])
    if set(SHARES) <= set(table):
        _check_shares(table)


def _check_columns(table: pd.DataFrame) -> None:
    absent = [name for name in REQUIRED if name not in table]
    if absent:
        raise UserError(f"requests: columns {', '.join(absent)} are missing")
    for name in table:
        near = difflib.get_close_matches(str(name), KNOWN, 1, ALIKE)
        if near and name not in KNOWN:
            raise UserError(f"requests: column '{name}' is unknown; is '{near[0]}' meant?")
    if "background" in table:
        raise UserError(
            "requests: column 'background' is the workflow's own, of implanted patients "
            "(segmentation.arms: real+classical+implanted); leave it out"
        )


def _check_shares(table: pd.DataFrame) -> None:
    core, enhancing = (pd.to_numeric(table[name], errors="coerce") for name in SHARES)
    if (enhancing > core).any():
        raise UserError("requests: enhancing_share is a part of core_share, and cannot be more")


def _check_names(names: pd.Series) -> None:
    for row, name in enumerate(names, start=1):
        if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
            raise UserError(
                f"requests: row {row}: patient_id '{name}' may hold letters, digits, "
                "'-' and '_' only"
            )
    if names.duplicated().any():
        raise UserError(f"requests: patient_id '{names[names.duplicated()].iloc[0]}' occurs twice")


def _check_folders(anatomies: pd.Series) -> None:
    for row, name in enumerate(anatomies.fillna(""), start=1):
        named = name in ("", PHANTOM) or str(name).startswith(TRAINING)
        if not named and not Path(str(name)).is_dir():
            raise UserError(
                f"requests: row {row}: anatomy '{name}' is no folder; name one with a brain's "
                f"images, or {PHANTOM}"
            )


def _check_numbers(name: str, given: pd.Series) -> None:
    if name in OPTIONAL:
        given = given[given.notna() & (given != "")]
    values = pd.to_numeric(given, errors="coerce").astype(float).to_numpy()
    if not np.isfinite(values).all():
        row = given.index.get_loc(given.index[~np.isfinite(values)][0]) + 1
        raise UserError(f"requests: row {row}: {name} is no number")
    if name in ("volume_ml", *BOX) and (values <= 0).any():
        raise UserError(f"requests: {name} must be above 0")
    if name == "seed" and not ((values % 1 == 0) & (values >= 0) & (values < LARGEST_SEED)).all():
        raise UserError(f"requests: seed must be a whole number, 0 to {LARGEST_SEED}")
    if name in SHARES and not ((values >= 0) & (values <= 1)).all():
        raise UserError(f"requests: {name} must lie between 0 and 1")
    if name == "sphericity" and not ((values >= 0.05) & (values <= 1)).all():
        raise UserError("requests: sphericity must lie between 0.05 and 1")
