"""Tables of the study. Each finished arm of a cell adds its rows.

A cell is one cohort with one number of training patients and one seed; in each cell one network is
trained for each arm. Rows name their cell in the columns ``CELL``, and their arm if they belong to
one; repeated runs replace their rows.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workflow_scripts.cohort.splits import training_sizes
from workflow_scripts.common.files import UserError, read_json, read_table, write_table
from workflow_scripts.segmentation.settings import OURS, words_of

CELL = ("cohort", "n", "seed")
# Tables in a run's evaluation folder by their names here, and the columns that are stored.
OF_ARMS = {
    "segmentation": ("scores.csv", (
        "arm", "patient_id", "region", "dice", "hd95_mm", "nsd", "reference_ml", "lesion_tp",
        "lesion_fp", "lesion_fn", "lesion_dice",
    )),
    "validation": ("validation.csv", ("arm", "validation_dice")),
}  # fmt: skip
# Tables of the cell's generator, which all of its arms share.
OF_GENERATORS = {name: f"{name}.csv" for name in ("adherence", "quality", "memory")}
# Provenance of each arm of each cell.
RECORDS = "arms"


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

    @property
    def key(self) -> dict[str, str | int]:
        """Its values in the columns ``CELL``."""
        return {name: getattr(self, name) for name in CELL}


def needs_generator(arm: str) -> bool:
    """Whether an arm learns from patients of the cell's own generator."""
    return bool(words_of(arm) & set(OURS))


def add_rows(path: Path, cell: Cell, rows: pd.DataFrame, arm: str | None = None) -> None:
    """Write the rows of a cell, or of one ``arm`` in it, into a table, replacing its existing rows.
    Cells are in the order of ``CELL``, arms in the order in which they were added."""
    own = {**cell.key, **({"arm": arm} if arm else {})}
    named = pd.concat(
        [pd.DataFrame(own, index=rows.index), rows.drop(columns="arm", errors="ignore")], axis=1
    )
    if path.is_file():
        table = read_table(path)
        replaced = (table[list(own)] == list(own.values())).all(axis=1)
        named = pd.concat([table[~replaced], named], ignore_index=True)
    write_table(named.sort_values(list(CELL), kind="stable"), path)


def rows_of(results: Path, source: str, cell: Cell) -> pd.DataFrame:
    """A cell's rows of a table in a run's evaluation folder, without the column of the split."""
    table = read_table(results / "evaluation" / source)
    return table[table["split"] == cell.split].drop(columns="split").reset_index(drop=True)


def add_arm(folder: Path, cell: Cell, arm: str, results: Path, record: dict) -> None:
    """Add a finished run's results for one arm of a cell to the tables in ``folder``; ``record`` is
    its row of ``arms.csv``, to which precision, numbers of patients and the training's seconds
    (CPU time since it last resumed) are added. That row is written last, so it marks the arm as
    complete. Raises ``UserError`` if the run has no scores for the arm in this cell."""
    scores = rows_of(results, OF_ARMS["segmentation"][0], cell)
    if arm not in set(scores["arm"]):
        raise UserError(f"{results}/evaluation/scores.csv: has no scores of {arm} in {cell.split}")
    for name, (source, columns) in OF_ARMS.items():
        table = rows_of(results, source, cell)[list(columns)]
        add_rows(folder / f"{name}.csv", cell, table[table["arm"] == arm], arm)
    if needs_generator(arm):
        for name, source in OF_GENERATORS.items():
            add_rows(folder / f"{name}.csv", cell, rows_of(results, source, cell))
    trained, validated = training_sizes(read_table(results / "cohort" / "splits.tsv"))[cell.split]
    model = read_json(results / "segmentation" / cell.split / arm / "model" / "config.json")
    benchmark = results / "benchmarks" / "segmentation" / "train_segmentation" / cell.split
    # Sampled every 30 s, so that up to the last 30 are missing; NA if there was no sample.
    sampled = read_table(benchmark / f"{arm}.tsv")["cpu_time"].iloc[[0]]
    row = {
        **record,
        "seconds": pd.to_numeric(sampled, errors="coerce").round(),
        "precision": model["precision"],
        "training_patients": trained,
        "validation_patients": validated,
    }
    add_rows(folder / f"{RECORDS}.csv", cell, pd.DataFrame(row, index=[0]), arm)


def finished_arms(folder: Path) -> pd.DataFrame:
    """``arms.csv``: one row per finished arm of a cell, with its ``seconds``."""
    path = folder / f"{RECORDS}.csv"
    return read_table(path) if path.is_file() else pd.DataFrame(columns=[*CELL, "arm", "seconds"])


def arms_left(wanted: list[Cell], arms: list[str], folder: Path) -> list[tuple[Cell, str]]:
    """The ``arms`` of the ``wanted`` cells that are not in the tables, cell by cell."""
    table = finished_arms(folder)
    known = set(zip(*(table[name] for name in (*CELL, "arm")), strict=True))
    pairs = ((cell, arm) for cell in wanted for arm in arms)
    return [(cell, arm) for cell, arm in pairs if (*cell.key.values(), arm) not in known]
