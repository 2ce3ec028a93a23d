"""Rule ``evaluate_quality``: what a split's generated patients look like beside real ones."""

from functools import partial
from pathlib import Path

import pandas as pd
import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.files import write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import patient_folders
from workflow_scripts.evaluation.features import autoencoder_features, segmentation_features
from workflow_scripts.evaluation.neighbours import nearest
from workflow_scripts.evaluation.quality import (
    brain_rows,
    feature_rows,
    intensity_rows,
    variety_rows,
)
from workflow_scripts.segmentation.segmenter import Segmenter


def main(snakemake) -> None:
    params, given = snakemake.params, snakemake.input
    torch.set_num_threads(snakemake.threads)
    grid = Grid.from_settings(params.grid)
    test, train = ([Path(path).parent for path in given[side]] for side in ("test", "train"))
    groups = {
        "train": train,
        "test": test,
        "reconstructed": [Path(given.reconstructions) / folder.name for folder in test],
        "synthetic": patient_folders(given.synthetic),
    }
    codec = Codec.load(Path(given.autoencoder).parent)
    networks = {"autoencoder": partial(autoencoder_features, codec=codec)}
    if given.segmenter:
        segmenter = Segmenter.load(Path(given.segmenter).parent)
        networks["segmentation"] = partial(segmentation_features, segmenter=segmenter)
    rows = [
        *brain_rows(groups, grid),
        *feature_rows(groups, networks),
        *intensity_rows(groups, grid, params.ring_mm, params.modalities),
        *variety_rows(groups),
    ]
    table = pd.DataFrame(rows, columns=["generator", "measure", "value", "floor"])
    table.insert(0, "split", snakemake.wildcards.split)
    write_table(nearest(groups["synthetic"], train), snakemake.output.neighbours)
    write_table(table, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
