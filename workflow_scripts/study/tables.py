"""Tables of the study, to which each finished cell adds its rows.

A cell is one cohort with one number of training patients and one seed. Its rows name it in the
columns ``CELL``; a cell that is run again replaces its rows.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workflow_scripts.cohort.splits import training_sizes
from workflow_scripts.common.files import UserError, read_table, write_table

CELL = ("cohort", "n", "seed")
# Tables of a run's evaluation folder by their names here, and the columns that are kept of them.
KEPT = {
    "segmentation": ("scores.csv", (
        "arm", "patient_id", "region", "dice", "hd95_mm", "nsd", "reference_ml", "lesion_tp",
        "lesion_fp", "lesion_fn", "lesion_dice",
    )),
    "validation": ("validation.csv", ("arm", "validation_dice")),
    "adherence": ("adherence.csv", None),
    "quality": ("quality.csv", None),
    "memory": ("memory.csv", None),
}  # fmt: skip
CELLS = "cells"


@dataclass(frozen=True)
class Cell:
    """One cohort with one number of training patients and one seed."""

    cohort: str
    n: int
    seed: int

    @property
    def split(self) -> str:
        """Its name in a run."""
        return f"n{self.n}-s{self.seed}"


def add_rows(path: Path, cell: Cell, rows: pd.DataFrame) -> None:
    """Write a cell's rows into a table, in place of those that it has there; cells stay in the
    order of ``CELL``."""
    named = rows.copy()
    for place, name in enumerate(CELL):
        named.insert(place, name, getattr(cell, name))
    if path.is_file():
        table = read_table(path)
        own = (table[list(CELL)] == [getattr(cell, name) for name in CELL]).all(axis=1)
        named = pd.concat([table[~own], named], ignore_index=True)
    write_table(named.sort_values(list(CELL), kind="stable"), path)


def add_cell(folder: Path, cell: Cell, results: Path, record: dict[str, str | float]) -> None:
    """Add what a finished run of one split found to the tables in ``folder``; ``record`` is what
    ``cells.csv`` says of the cell, with its ``arms``. Its row is written last, and so says that the
    cell is whole. Raises ``UserError`` where the run is of another split, or lacks an arm."""
    scores = read_table(results / "evaluation" / "scores.csv")
    lacking = set(record["arms"].split()) - set(scores.loc[scores["split"] == cell.split, "arm"])
    if lacking:
        raise UserError(
            f"{results}/evaluation/scores.csv: has no scores of {', '.join(sorted(lacking))} in "
            f"{cell.split}"
        )
    for name, (source, columns) in KEPT.items():
        table = read_table(results / "evaluation" / source)
        table = table[table["split"] == cell.split]
        chosen = list(columns) if columns else table.columns.difference(["split"], sort=False)
        add_rows(folder / f"{name}.csv", cell, table[chosen])
    sizes = training_sizes(read_table(results / "cohort" / "splits.tsv"))
    trained, validated = sizes[cell.split]
    row = {**record, "training_patients": trained, "validation_patients": validated}
    add_rows(folder / f"{CELLS}.csv", cell, pd.DataFrame([row]))


def finished_cells(folder: Path) -> pd.DataFrame:
    """``cells.csv``: a row for each finished cell, with ``seconds`` and the arms that it has."""
    path = folder / f"{CELLS}.csv"
    return read_table(path) if path.is_file() else pd.DataFrame(columns=[*CELL, "arms", "seconds"])


def cells_left(wanted: list[Cell], arms: list[str], folder: Path) -> list[Cell]:
    """Those of the ``wanted`` cells that are not in the tables, or lack one of the ``arms``."""
    known = {
        Cell(row["cohort"], row["n"], row["seed"]): set(row["arms"].split())
        for _, row in finished_cells(folder).iterrows()
    }
    return [cell for cell in wanted if not set(arms) <= known.get(cell, set())]
