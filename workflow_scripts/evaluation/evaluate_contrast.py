"""Rule ``evaluate_contrast``: how visible tumours are, real, reconstructed and synthetic."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient

# Test patients, the same after the autoencoder, the split's training patients, the generator's.
GROUPS = ("real", "reconstructed", "training", "synthetic")


def tumour_contrast(
    image: NDArray,
    tumour: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    ring_mm: tuple[float, float],
) -> NDArray[np.float64]:
    """Contrast (M,) of the whole tumour (X, Y, Z) in each modality of the image (M, X, Y, Z).

    The mean in the tumour minus the mean in the brain at ``ring_mm`` from it, in standard
    deviations of the brain without the tumour. NaN where there is no tumour, or no brain about it.
    """
    healthy = brain & ~tumour
    distance = ndimage.distance_transform_edt(~tumour, sampling=spacing_mm)
    ring = healthy & (distance > ring_mm[0]) & (distance <= ring_mm[1])
    if not tumour.any() or not ring.any():
        return np.full(len(image), np.nan)
    inside, around = image[:, tumour].mean(1), image[:, ring].mean(1)
    return (inside - around) / image[:, healthy].std(1)


def group_contrast(
    folders: Sequence[Path], grid: Grid, ring_mm: tuple[float, float]
) -> NDArray[np.float64]:
    """Mean contrast (M,) over patients. Raises ``UserError`` if none has a tumour to measure."""
    values = []
    for patient in map(Patient, folders):
        volumes = patient.image(), patient.label() > 0, patient.brain()
        values.append(tumour_contrast(*volumes, grid.spacing_mm, ring_mm))
        if np.isnan(values[-1]).any():
            logging.warning("%s: no tumour with brain about it, left out", patient.folder)
    usable = [value for value in values if not np.isnan(value).any()]
    if not usable:
        raise UserError(
            f"{folders[0].parent}: no patient has a tumour whose contrast could be told"
        )
    return np.mean(usable, axis=0)


def main(snakemake) -> None:
    params = snakemake.params
    grid = Grid.from_settings(params.grid)
    real = [Path(path).parent for path in snakemake.input.images]
    table = read_table(snakemake.input.splits)
    rows = []
    for split, made, synthetic in zip(
        params.splits, snakemake.input.reconstructions, snakemake.input.synthetic, strict=True
    ):
        train = table.loc[(table["split"] == split) & (table["role"] == "train"), "patient_id"]
        groups = (
            real,
            [Path(made) / folder.name for folder in real],
            [real[0].parent / name for name in train],
            sorted(folder for folder in Path(synthetic).iterdir() if folder.is_dir()),
        )
        for group, folders in zip(GROUPS, groups, strict=True):
            values = group_contrast(folders, grid, params.ring_mm)
            rows += [
                {"split": split, "group": group, "modality": modality, "contrast_z": value}
                for modality, value in zip(params.modalities, values, strict=True)
            ]
    write_table(pd.DataFrame(rows), snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
