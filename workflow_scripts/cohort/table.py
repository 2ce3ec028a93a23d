"""Cohorts that a table of files lists."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.cohort.cases import Case
from workflow_scripts.cohort.modalities import MODALITIES
from workflow_scripts.common.files import UserError, read_table


def table_cases(
    table: str | Path, root: str | None, label_scheme: str, modalities: Sequence[str]
) -> list[Case]:
    """Cases of a table with ``patient_id``, a column a modality, ``label``, maybe ``brain_mask``
    and ``subject``, which is the same for all scans of one person.

    Relative paths start at ``root`` where it is given, else at the table's folder.
    """
    path = Path(table)
    if not path.is_file():
        raise UserError(f"cohort.table: {table} does not exist")
    rows = read_table(path)
    required = ["patient_id", *modalities, "label"]
    missing = [column for column in required if column not in rows]
    if missing:
        others = {str(c).lower(): c for c in rows if c not in required}
        near = difflib.get_close_matches(missing[0].lower(), list(others), 1, 0.4)
        hint = f" (is '{others[near[0]]}' meant for '{missing[0]}'?)" if near else ""
        raise UserError(
            f"{path}: no column {', '.join(missing)}{hint}; it needs {', '.join(required)}, "
            "separated by tabs"
        )
    if rows.empty:
        raise UserError(f"{path}: has no rows")
    base = Path(root) if root else path.parent
    known = [c for c in ("label", "brain_mask", *MODALITIES) if c in rows]
    rows["patient_id"] = rows["patient_id"].fillna("")
    subjects = rows["subject"].fillna("").astype(str) if "subject" in rows else [""] * len(rows)
    rows[known] = rows[known].astype(object).fillna("").astype(str)

    def located(value: str) -> str:
        return str(base / Path(value).expanduser()) if value else ""

    cases = []
    for row, subject in zip(rows.to_dict("records"), subjects, strict=True):
        problems = tuple(f"has no {c}" for c in required[1:] if not row[c])
        images = {m: located(row[m]) for m in modalities}
        mask = located(row.get("brain_mask", ""))
        label = located(row["label"])
        cases.append(
            Case(row["patient_id"], images, label, label_scheme, mask, problems, subject.strip())
        )
    return cases
