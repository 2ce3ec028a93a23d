"""Rule ``evaluate_quality``: what generated patients look like beside real ones."""

import functools
from pathlib import Path

import pandas as pd
import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.evaluation.features import autoencoder_features, segmentation_features
from workflow_scripts.evaluation.quality import (
    brain_rows,
    feature_rows,
    intensity_rows,
    memory_rows,
)
from workflow_scripts.segmentation.segmenter import Segmenter


def main(snakemake) -> None:
    params, given = snakemake.params, snakemake.input
    torch.set_num_threads(snakemake.threads)
    grid = Grid.from_settings(params.grid)
    preprocessed = Path(given.test[0]).parents[1]
    table = read_table(given.splits)
    rows = []
    for k, split in enumerate(params.splits):
        roles = table[table["split"] == split].groupby("role")["patient_id"]
        test, train = (
            [preprocessed / name for name in sorted(roles.get_group(role))]
            for role in ("test", "train")
        )
        networks = {
            "autoencoder": functools.partial(
                autoencoder_features, codec=Codec.load(Path(given.autoencoders[k]).parent)
            ),
            "segmentation": functools.partial(
                segmentation_features, segmenter=Segmenter.load(Path(given.segmenters[k]).parent)
            ),
        }
        synthetic = sorted(f for f in Path(given.synthetic[k]).iterdir() if f.is_dir())
        groups = {
            "reconstructed": [Path(given.reconstructions[k]) / folder.name for folder in test],
            "synthetic": synthetic,
        }
        for generator, made in groups.items():
            if not made:
                continue
            sides = made, train, test
            for name, value, floor in (
                *brain_rows(*sides, grid),
                *feature_rows(*sides, networks),
                *intensity_rows(*sides, grid, params.ring_mm, params.modalities),
                *memory_rows(*sides),
            ):
                row = {"split": split, "generator": generator, "measure": name}
                rows.append({**row, "value": value, "floor": floor})
    write_table(pd.DataFrame(rows), snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
