"""Rule ``collect_reconstruction``: each split's reconstruction scores of held-out patients."""

from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_table, write_table

MEASURES = ["psnr_db", "ssim", "label_dice"]


def collect(paths: list[str | Path]) -> pd.DataFrame:
    """One row per split: means over its held-out patients."""
    rows = [
        {"split": Path(path).parent.name, **read_table(path)[MEASURES].mean()} for path in paths
    ]
    return pd.DataFrame(rows)


def main(snakemake) -> None:
    write_table(collect(list(snakemake.input)), snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
