"""Rule ``draw_splits``: training, validation and test patients of each split."""

import logging

from workflow_scripts.cohort.settings import SplitSettings
from workflow_scripts.cohort.splits import draw_splits
from workflow_scripts.common.files import read_table, write_table


def main(snakemake):
    settings = SplitSettings.model_validate(snakemake.params.settings)
    splits = draw_splits(read_table(snakemake.input.participants), settings)
    write_table(splits, snakemake.output.splits)
    logging.info("splits: %s", ", ".join(splits["split"].unique()))


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
