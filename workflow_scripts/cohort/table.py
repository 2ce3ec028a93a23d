"""Cohorts that are listed in a table of files."""

import difflib
from collections.abc import Iterator, Sequence
from os.path import expanduser
from pathlib import Path

import pandas as pd

from workflow_scripts.cohort.patient_files import Case
from workflow_scripts.common.files import UserError, read_text_table
from workflow_scripts.common.modalities import MODALITIES

# Of a table's columns, those that are read.
KNOWN = ("patient_id", *MODALITIES, "label", "brain_mask", "subject")


def table_cases(
    table: str | Path, root: str | None, label_scheme: str, modalities: Sequence[str]
) -> list[Case]:
    """Cases of a table (TSV) with the columns ``patient_id``, each modality, and ``label``.

    The columns ``brain_mask`` and ``subject`` (the same for all scans of one person) are optional,
    others are ignored. Relative paths start at ``root``, or at the table's folder without one.
    Raises ``UserError`` for a table that cannot be read or has no rows, that lacks a column, or
    with a column whose name is probably a misspelling.
    """
    path = Path(table)
    if path.is_dir():
        raise UserError(f"cohort.table: {table} is a folder; name a file")
    if not path.is_file():
        raise UserError(f"cohort.table: {table} does not exist")
    rows = read_text_table(path)
    _check_columns(path, rows, ["patient_id", *modalities, "label"])
    lines = [f"line {number}" for number in range(2, len(rows) + 2)]
    rows = rows.assign(line=lines)[(rows != "").any(axis=1)]  # spreadsheets leave empty rows
    if rows.empty:
        raise UserError(f"{path}: has no rows")
    base = Path(root) if root else path.parent

    def located(row: dict[str, str], column: str) -> str:
        value = row.get(column, "")
        return str(base / expanduser(value)) if value and not _is_broken(value) else ""

    def problems(row: dict[str, str]) -> Iterator[str]:
        yield from (f"has no {c}" for c in (*modalities, "label") if not row[c])
        for column in (*modalities, "label", "brain_mask"):
            if _is_broken(row.get(column, "")):
                yield f"{column} holds a control character; write the path again"

    return [
        Case(
            row["patient_id"],
            {m: located(row, m) for m in modalities},
            located(row, "label"),
            label_scheme,
            located(row, "brain_mask"),
            tuple(problems(row)),
            row.get("subject", ""),
            row["line"],
        )
        for row in rows.to_dict("records")
    ]


def _is_broken(path: str) -> bool:
    """Whether a path holds a control character, such as the end of a line."""
    return any(ord(character) < 32 for character in path)


def _check_columns(path: Path, rows: pd.DataFrame, required: Sequence[str]) -> None:
    """Raise ``UserError`` if a column is missing, or if one that is ignored has nearly the name of
    one that is read."""
    if missing := [column for column in required if column not in rows]:
        near = _nearest(missing[0], [c for c in rows if c not in required], 0.4)
        hint = f" (is '{near}' meant for '{missing[0]}'?)" if near else ""
        raise UserError(
            f"{path}: no column {', '.join(missing)}{hint}; it needs {', '.join(required)}, "
            "separated by tabs"
        )
    absent = [column for column in KNOWN if column not in rows]
    for column in rows:
        # t1c and t1w are near t1, but other images: of a modality, only the case may differ.
        near = _nearest(column, absent, 0.8)
        if near in MODALITIES and near != column.lower():
            near = None
        if column not in KNOWN and near:
            raise UserError(
                f"{path}: column '{column}' would not be read; call it '{near}' if that is what it "
                "is, or take it out"
            )


def _nearest(name: str, others: Sequence[str], cutoff: float) -> str | None:
    """The most similar of the names ``others``, in upper or lower case; ``None`` if none has a
    similarity (``difflib``, 0 to 1) of at least ``cutoff``."""
    lower = {str(other).lower(): other for other in others}
    near = difflib.get_close_matches(str(name).lower(), list(lower), 1, cutoff)
    return lower[near[0]] if near else None
