"""Rule ``evaluate_adherence``: do synthetic patients have the requested tumours?"""

from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.evaluation.adherence import split_adherence


def main(snakemake) -> None:
    params = snakemake.params
    rows = []
    for path in snakemake.input.attributes:
        sure = params.permutations, params.confidence, params.seed
        split_rows = split_adherence(read_table(path), *sure)
        rows += [{"split": Path(path).parent.name, **row} for row in split_rows]
    write_table(pd.DataFrame(rows), snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
