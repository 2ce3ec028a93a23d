"""The nearest training patients of synthetic patients."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.masks import dice
from workflow_scripts.common.patients import Patient

# Longest side of the compared images; larger ones are subsampled, since all but the training
# patients are held in memory.
LONGEST = 64
COLUMNS = [
    "patient_id",
    *("image_patient", "image_mirrored", "image_distance"),
    *("mask_patient", "mask_mirrored", "mask_distance"),
]


def image_distance(a: NDArray, b: NDArray) -> float:
    """Root mean square difference of images (M, X, Y, Z)."""
    return float(np.sqrt(np.mean((a - b) ** 2)))


def mask_distance(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """1 - Dice of tumours (X, Y, Z)."""
    return 1 - dice(a, b)


def _least(distances: NDArray, names: Sequence[str]) -> tuple[str, bool, float]:
    """The name with the smallest distance, whether it is mirrored, and the distance."""
    row, mirrored = np.unravel_index(distances.argmin(), distances.shape)
    return names[row], bool(mirrored), float(distances.min())


def _small(folder: Path, mirrored: bool = False) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Image and tumour of a patient, on a grid of at most ``LONGEST`` voxels a side."""
    patient = Patient(folder, mirrored)
    image, mask = patient.image(), patient.label() > 0
    every = -(-max(mask.shape) // LONGEST)
    part = (slice(None, None, every),) * 3
    return image[:, *part], mask[part]


def nearest(folders: Sequence[Path], training: Sequence[Path]) -> pd.DataFrame:
    """The nearest ``training`` patient for each patient, by image and by tumour.

    One row per patient with the columns ``COLUMNS``. Training patients are compared unchanged and
    mirrored, but not warped.
    """
    volumes = [_small(folder) for folder in folders]
    images = np.empty((len(folders), len(training), 2))
    masks = np.empty_like(images)
    for column, folder in enumerate(training):
        for mirrored in (False, True):
            image, mask = _small(folder, mirrored)
            cell = column, int(mirrored)
            images[:, *cell] = [image_distance(one, image) for one, _ in volumes]
            masks[:, *cell] = [mask_distance(one, mask) for _, one in volumes]
    names = [Path(folder).name for folder in training]
    rows = [
        (Path(folder).name, *_least(image, names), *_least(mask, names))
        for folder, image, mask in zip(folders, images, masks, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
