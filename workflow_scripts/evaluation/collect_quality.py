"""Rule ``collect_quality``: the quality of all splits' synthetic patients in one table."""

import pandas as pd

from workflow_scripts.common.files import read_table, write_table


def main(snakemake) -> None:
    tables = [read_table(path) for path in snakemake.input.tables]
    write_table(pd.concat(tables), snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
