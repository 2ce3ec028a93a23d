"""Run one cell of the study again and compare it with the tables: ``make study-cell``.

    python -m workflow_scripts.study.repeat_cell brats /data/BraTS2021 --cell n5-s0 \\
        --arms "real+classical real+classical+synthetic"

The study's own results are neither used nor changed: the run has its own folder,
``results-study-<cohort>-again``, with tables in ``study/``. Dice agrees to the third digit on the
same type of CPU with the same precision; on others sums are rounded differently.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import UserError, read_table
from workflow_scripts.evaluation.tables import number
from workflow_scripts.study.cells import CELL, RECORDS, Cell
from workflow_scripts.study.run import Study, add_options, chosen

# Tolerance of mean Dice: the third digit.
TOLERANCE = 0.0005
SCORE = (*CELL, "arm", "region")
MACHINE = ("processor", "precision")


def rows_of_cell(folder: Path, name: str, cell: Cell, arms: list[str]) -> pd.DataFrame:
    """Rows of a cell's ``arms`` in a table of the study. Raises ``UserError`` for missing arms."""
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"{path} does not exist: no cell of the study is finished")
    table = read_table(path)
    own = table[(table[list(CELL)] == list(cell.key.values())).all(axis=1)]
    if lacking := [arm for arm in arms if arm not in set(own["arm"])]:
        raise UserError(f"{path}: has no {lacking[0]} in {cell.cohort} {cell.split}")
    return own[own["arm"].isin(arms)]


def compare_cells(first: Path, second: Path, cell: Cell, arms: list[str]) -> pd.DataFrame:
    """Mean Dice of a cell's arms in the tables of two folders: one row per arm and region, with
    ``committed``, ``here`` and ``difference``."""
    means = [
        rows_of_cell(folder, "segmentation", cell, arms).groupby(list(SCORE), sort=False)["dice"]
        for folder in (first, second)
    ]
    table = pd.DataFrame({"committed": means[0].mean(), "here": means[1].mean()})
    return table.assign(difference=table["here"] - table["committed"]).reset_index()


def same_machine(first: Path, second: Path, cell: Cell, arms: list[str]) -> bool:
    """Whether both were trained on the same type of CPU with the same precision."""
    kinds = [
        rows_of_cell(folder, RECORDS, cell, arms).sort_values("arm")[list(MACHINE)].to_numpy()
        for folder in (first, second)
    ]
    return kinds[0].shape == kinds[1].shape and bool((kinds[0] == kinds[1]).all())


def outcome(table: pd.DataFrame, same: bool) -> tuple[str, bool]:
    """The comparison in words, and whether it fails: scores must agree on the same type of CPU
    only."""
    lines = [
        f"{row.arm}, {row.region}: committed {number(row.committed, 4)}, here {number(row.here, 4)}"
        for row in table.itertuples()
    ]
    agrees = bool((table["difference"].abs() <= TOLERANCE).all())
    verdict = "The same to the third digit." if agrees else "Not the same to the third digit."
    if not same:
        verdict += " The CPU or the precision differs from the committed run's."
    return "\n".join([*lines, verdict]), same and not agrees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    options = parser.parse_args()
    try:
        if not options.cell:
            raise UserError("CELL: name one, as CELL=n5-s0")
        of_study, [cell], arms = chosen(options)
        # Fails before the run if there is nothing to compare with.
        rows_of_cell(options.tables, RECORDS, cell, arms)
        results = f"{of_study}-again"
        tables = Path(results) / "study"
        study = Study(options.cohort, options.data, tables, results)
        # Snakemake decides which results are still up to date.
        study.run_cell(cell, arms)
        pair = options.tables, tables
        text, failed = outcome(compare_cells(*pair, cell, arms), same_machine(*pair, cell, arms))
        print(text)
    except UserError as error:
        sys.exit(f"Error: {error}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
