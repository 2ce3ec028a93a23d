"""Rule ``evaluate_contrast``: the contrast of real, reconstructed and synthetic tumours."""

from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import patient_folders
from workflow_scripts.evaluation.tumour_contrast import GROUPS, contrast_rows, healthy_spread, steps


def main(snakemake) -> None:
    params = snakemake.params
    grid = Grid.from_settings(params.grid)
    preprocessed = Path(snakemake.input.test[0]).parents[1]
    table = read_table(snakemake.input.splits)
    rows = []
    for split, reconstructed, synthetic in zip(
        params.splits, snakemake.input.reconstructions, snakemake.input.synthetic, strict=True
    ):
        roles = table[table["split"] == split].groupby("role")["patient_id"]
        test, train = (sorted(roles.get_group(role)) for role in ("test", "train"))
        groups = (
            [preprocessed / name for name in test],
            [Path(reconstructed) / name for name in test],
            [preprocessed / name for name in train],
            patient_folders(synthetic),
        )
        # One unit for all groups, so that smoothing an image does not raise its contrast.
        unit = healthy_spread(groups[0])
        contrasts = {
            group: steps(folders, grid, params.ring_mm, len(params.modalities))
            for group, folders in zip(GROUPS, groups, strict=True)
        }
        compared = contrast_rows(contrasts, unit, params.modalities, params.confidence)
        rows += [{"split": split, **row} for row in compared]
    write_table(pd.DataFrame(rows), snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
