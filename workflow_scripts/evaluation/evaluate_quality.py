"""Rule ``evaluate_quality``: what a split's generated patients look like beside real ones."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.choice import evenly_chosen
from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, patient_folders, save_patient
from workflow_scripts.common.prior import EMBEDDED
from workflow_scripts.evaluation.features import autoencoder_features, load_judge
from workflow_scripts.evaluation.neighbours import nearest
from workflow_scripts.evaluation.quality import (
    Row,
    brain_rows,
    fault_rows,
    feature_rows,
    intensity_rows,
    two_sample_rows,
    variety_rows,
)


def reconstruct(folders: Sequence[Path], codec: Codec, target: Path) -> list[Path]:
    """Patients after the autoencoder, in folders of ``target`` with the same names."""
    made = []
    for patient in map(Patient, folders):
        made.append(target / patient.patient_id)
        volumes = codec.decode(codec.encode(patient.image(), patient.label()))
        save_patient(made[-1], *volumes, codec.grid.affine)
    return made


def main(snakemake) -> None:
    params, given = snakemake.params, snakemake.input
    torch.set_num_threads(snakemake.threads)
    grid, sure = Grid.from_settings(params.grid), (params.seed, params.confidence)
    train, held_out = (
        [Path(path).parent for path in given[side]] for side in ("train", "held_out")
    )
    codec = Codec.load(Path(given.autoencoder).parent)
    judge = load_judge(EMBEDDED / "autoencoder", params.modalities, codec.labels, grid, params.seed)
    with tempfile.TemporaryDirectory() as folder:
        # As many as the held-out ones serve for the floor.
        chosen = [train[k] for k in evenly_chosen(len(train), len(held_out))]
        groups = {
            "train": train,
            "held_out": held_out,
            "reconstructed_train": reconstruct(chosen, codec, Path(folder)),
            "reconstructed": [Path(given.reconstructions) / side.name for side in held_out],
            "synthetic": patient_folders(given.synthetic),
        }
        pieces = read_table(given.attributes)["measured_brain_pieces"].dropna()
        length = params.classifier_steps, params.classifier_repeats
        rows = [
            *two_sample_rows(groups, params.modalities, *length, *sure),
            *brain_rows(groups, grid, params.modalities, params.confidence),
            *fault_rows(groups, grid, params.confidence, pieces > 1),
            *feature_rows(groups, partial(autoencoder_features, codec=judge), *sure),
            *intensity_rows(groups, grid, params.ring_mm, params.modalities, *sure),
            *variety_rows(groups),
        ]
    table = pd.DataFrame(rows, columns=Row._fields)
    table.insert(0, "split", snakemake.wildcards.split)
    write_table(nearest(groups["synthetic"], train), snakemake.output.neighbours)
    write_table(table, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
