"""Rule ``collect_memory``: whether each split's generator copies its training data."""

import pandas as pd

from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.evaluation.memory import judge


def main(snakemake) -> None:
    tables = zip(snakemake.params.splits, snakemake.input.tables, strict=True)
    rows = [{"split": split, **judge(read_table(path))} for split, path in tables]
    write_table(pd.DataFrame(rows), snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
