"""Are the weights of the best validation check or the last ones better? For each arm of two runs:
mean Dice, its spread over seeds, and the difference.

    python -m workflow_scripts.bench.compare_kept best.csv last.csv
"""

import argparse
from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_table, write_text
from workflow_scripts.evaluation.statistics import arm_difference, patients_by_seeds
from workflow_scripts.evaluation.tables import markdown, number, signed


def compare_kept(best: pd.DataFrame, last: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """One row per arm: mean Dice and standard deviation of the seeds' means in both runs; the mean
    difference, last minus best, with its interval over patients and seeds; and the number of seeds
    in which the last check was the best one, so that all scores are equal."""
    rows = []
    for arm in best["arm"].unique():
        tables = [table[table["arm"] == arm] for table in (best, last)]
        row = {"arm": arm}
        scores = [patients_by_seeds(table, "dice") for table in tables]
        for name, means in zip(("best", "last"), (score.mean() for score in scores), strict=True):
            row[f"{name}: Dice"] = number(means.mean(), 3)
            row[f"{name}: SD over seeds"] = number(means.std(ddof=1), 3)
        estimate = arm_difference(tables[1], tables[0], "dice", confidence, float("nan"))
        low, high = number(estimate.low, 3), number(estimate.high, 3)
        row["last less best"] = f"{signed(estimate.mean, 3)} [{low}, {high}]"
        same = (scores[0] == scores[1]).all()
        row["last is best"] = f"{same.sum()} of {len(same)} seeds"
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("best", type=Path, help="scores.csv of the run with keep: best")
    parser.add_argument("last", type=Path, help="scores.csv of the run with keep: last")
    parser.add_argument("--out", type=Path, help="file to write the table to")
    options = parser.parse_args()
    table = markdown(compare_kept(read_table(options.best), read_table(options.last)))
    print(table)
    if options.out:
        write_text(table, options.out)


if __name__ == "__main__":
    main()
