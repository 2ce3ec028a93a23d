"""Checks of a table of requests that need no network."""

import difflib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.attributes import AXES, CONDITIONS, SHARES
from workflow_scripts.common.files import UserError

CENTROID = tuple(f"centroid_{a}_mm" for a in AXES)
REQUIRED = ("volume_ml", *CENTROID)
BOX = tuple(f"box_{axis}_mm" for axis in AXES)
# Columns with optional cells.
OPTIONAL = (*BOX, *SHARES)
KNOWN = ("patient_id", "seed", *CONDITIONS, *SHARES, "anatomy")
# Tolerance, since rounding may let a tumour that fills its box exceed it.
LARGEST_OF_BOX = 1.01
# Prefix in ``anatomy``: ``training:<patient>/<copy>``; copy 0 is the patient.
TRAINING = "training:"
# The anatomy of a request without a folder: a new phantom for each seed.
PHANTOM = "phantom"
# An unknown column with a name this similar to a known one is a misspelling.
ALIKE = 0.75
LARGEST_SEED = 2**63 - 1


def source_of(anatomy: str) -> str:
    """The source of a synthetic patient's brain: empty for a phantom, else a training patient's
    name or a folder's name without its path."""
    if anatomy == PHANTOM:
        return ""
    if is_training(anatomy):
        return anatomy.removeprefix(TRAINING).rsplit("/", 1)[0]
    return Path(anatomy).name


def is_training(anatomy: str) -> bool:
    """Whether a request's anatomy is a training patient's."""
    return anatomy.startswith(TRAINING)


def check_requests(table: pd.DataFrame) -> None:
    """Raise ``UserError`` naming the invalid column, row or value.

    ``table`` has one row per request and at least the columns ``REQUIRED``; cells of ``OPTIONAL``
    columns may be empty.
    """
    _check_columns(table)
    table = table.reset_index(drop=True)
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


def check_own_requests(table: pd.DataFrame) -> None:
    """``check_requests`` for a user's table; also raise ``UserError`` if a tumour is larger than
    its requested box."""
    check_requests(table)
    if not set(BOX) <= set(table):
        return
    sides = table[list(BOX)].apply(pd.to_numeric, errors="coerce")
    volumes, boxes = pd.to_numeric(table["volume_ml"]), sides.prod(axis=1, skipna=False) / 1000
    for row, (volume, box) in enumerate(zip(volumes, boxes, strict=True), start=1):
        if volume > LARGEST_OF_BOX * box:
            raise UserError(
                f"requests: row {row}: volume_ml {volume:g} is more than its box of {box:.3g} mL "
                "(box_x_mm, box_y_mm, box_z_mm)"
            )


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
            "requests: column 'background' is used by the workflow only, for implanted patients "
            "(segmentation.arms: real+classical+implanted); omit it"
        )


def _check_shares(table: pd.DataFrame) -> None:
    core, enhancing = (pd.to_numeric(table[name], errors="coerce") for name in SHARES)
    if (enhancing > core).any():
        raise UserError("requests: enhancing_share is a part of core_share, and cannot exceed it")


def _check_names(names: pd.Series) -> None:
    for row, name in enumerate(names, start=1):
        if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
            raise UserError(
                f"requests: row {row}: patient_id '{name}' may only contain letters, digits, '-' "
                f"and '_'"
            )
    if names.duplicated().any():
        raise UserError(f"requests: patient_id '{names[names.duplicated()].iloc[0]}' occurs twice")


def _check_folders(anatomies: pd.Series) -> None:
    for row, name in enumerate(anatomies.fillna(""), start=1):
        named = name in ("", PHANTOM) or str(name).startswith(TRAINING)
        if not named and not Path(str(name)).is_dir():
            raise UserError(
                f"requests: row {row}: anatomy '{name}' is not a folder; name a folder with a "
                f"brain's images, or {PHANTOM}"
            )


def _check_numbers(name: str, column: pd.Series) -> None:
    if name in OPTIONAL:
        column = column[column.notna() & (column != "")]
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    values = numbers.to_numpy()
    whole = (values % 1 == 0) & (values >= 0) & (values < LARGEST_SEED)
    size, share, ball = values > 0, (values >= 0) & (values <= 1), (values >= 0.05) & (values <= 1)
    rules = [(True, np.isfinite(values), "is no number")]
    rules += [
        (name in ("volume_ml", *BOX), size, "must be above 0"),
        (name == "seed", whole, f"must be a whole number, 0 to {LARGEST_SEED}"),
        (name in SHARES, share, "must lie between 0 and 1"),
        (name == "sphericity", ball, "must lie between 0.05 and 1"),
    ]
    for applies, fits, words in rules:
        if applies and not fits.all():
            row = table_row(column, ~fits)
            raise UserError(f"requests: row {row}: {name} {words}")


def table_row(column: pd.Series, wrong: NDArray[np.bool_]) -> int:
    """The number, from 1, of the first row whose cell is ``wrong``."""
    return int(column.index[wrong][0]) + 1
