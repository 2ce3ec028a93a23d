"""Rule ``collect_scores``: the scores of all splits and arms in one table."""

from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_table, write_table

COLUMNS = [
    "split",
    "arm",
    "patient_id",
    "region",
    "dice",
    "hd95_mm",
    "nsd",
    "volume_error_ml",
]


def collect(paths: list[str | Path]) -> pd.DataFrame:
    """The tables one after another, with the columns of ``scores.csv``."""
    return pd.concat([read_table(path) for path in paths], ignore_index=True)[COLUMNS]


def main(snakemake) -> None:
    write_table(collect(list(snakemake.input)), snakemake.output.scores)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
