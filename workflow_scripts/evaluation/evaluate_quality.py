"""Rule ``evaluate_quality``: image quality of a split's synthetic patients, compared with real
ones."""

from functools import partial
from pathlib import Path

import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.evaluation.features import autoencoder_features, load_judge
from workflow_scripts.evaluation.neighbours import nearest
from workflow_scripts.evaluation.patient_groups import patient_groups, write_rows
from workflow_scripts.evaluation.quality import (
    brain_rows,
    fault_rows,
    feature_rows,
    intensity_rows,
    variety_rows,
)


def main(snakemake) -> None:
    params, inputs = snakemake.params, snakemake.input
    torch.set_num_threads(snakemake.threads)
    grid, sure = Grid.from_settings(params.grid), (params.seed, params.confidence)
    codec = Codec.load(Path(inputs.autoencoder).parent)
    judge = load_judge(params.modalities, codec.labels, grid, params.seed)
    with patient_groups(inputs, codec) as groups:
        drawn = read_table(inputs.attributes).dropna(subset="measured_brain_pieces")
        holed, torn = drawn["measured_hole_voxels"] > 0, drawn["measured_brain_pieces"] > 1
        rows = [
            *brain_rows(groups, grid, params.modalities, params.confidence),
            *fault_rows(groups, grid, params.confidence, holed, torn),
            *feature_rows(groups, partial(autoencoder_features, codec=judge), *sure),
            *intensity_rows(groups, grid, params.ring_mm, params.modalities, *sure),
            *variety_rows(groups),
        ]
    neighbours = nearest(groups["synthetic"], groups["train"])
    write_table(neighbours, snakemake.output.neighbours)
    write_rows(rows, snakemake.wildcards.split, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
