"""How visible tumours are."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient

# Test patients, the same after the autoencoder, the split's training patients, the generator's.
GROUPS = ("real", "reconstructed", "training", "synthetic")


def surroundings(
    tumour: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    ring_mm: tuple[float, float],
) -> NDArray[np.bool_]:
    """What of the foreground ``inside`` (X, Y, Z) lies at ``ring_mm`` from the tumour."""
    distance = ndimage.distance_transform_edt(~tumour, sampling=spacing_mm)
    return inside & ~tumour & (distance > ring_mm[0]) & (distance <= ring_mm[1])


def tumour_step(
    image: NDArray,
    tumour: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    ring_mm: tuple[float, float],
) -> NDArray[np.float64]:
    """How much brighter (M,) the whole tumour (X, Y, Z) is in each modality of the image
    (M, X, Y, Z) than the foreground ``inside`` at ``ring_mm`` from it; NaN where there is no tumour
    or nothing about it."""
    ring = surroundings(tumour, inside, spacing_mm, ring_mm)
    if not tumour.any() or not ring.any():
        return np.full(len(image), np.nan)
    return image[:, tumour].mean(1) - image[:, ring].mean(1)


def healthy_spread(folders: Sequence[Path]) -> NDArray[np.float64]:
    """Standard deviation (M,) of the foreground without the tumour, mean over patients."""
    spreads = []
    for patient in map(Patient, folders):
        spreads.append(patient.image()[:, patient.foreground() & (patient.label() == 0)].std(1))
    return np.mean(spreads, axis=0)


def group_step(
    folders: Sequence[Path], grid: Grid, ring_mm: tuple[float, float], modalities: int
) -> NDArray[np.float64]:
    """Mean step (M,) over the patients that have a tumour to measure; NaN if none has."""
    values = []
    for patient in map(Patient, folders):
        volumes = patient.image(), patient.label() > 0, patient.foreground()
        values.append(tumour_step(*volumes, grid.spacing_mm, ring_mm))
        if np.isnan(values[-1]).any():
            logging.warning("%s: no tumour with brain about it, left out", patient.folder)
    usable = [value for value in values if not np.isnan(value).any()]
    return np.mean(usable, axis=0) if usable else np.full(modalities, np.nan)
