"""How near synthetic patients come to the ones that the generator learned from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.masks import dice
from workflow_scripts.common.patients import Patient

# Longest side of the images that are compared, of larger ones every second voxel or fewer: all
# training patients are held in memory.
LONGEST = 64
COLUMNS = ["patient_id", "image_patient", "image_distance", "mask_patient", "mask_distance"]


def image_distance(a: NDArray, b: NDArray) -> float:
    """Root mean square difference of images (M, X, Y, Z), nearest of ``b`` and ``b`` mirrored."""
    return min(float(np.sqrt(np.mean((a - other) ** 2))) for other in (b, b[:, ::-1]))


def mask_distance(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """1 - Dice of tumours (X, Y, Z), nearest of ``b`` and ``b`` mirrored."""
    return min(1 - dice(a, other) for other in (b, b[::-1]))


def _small(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Image and tumour of a patient, on a grid of at most ``LONGEST`` voxels a side."""
    patient = Patient(folder)
    image, mask = patient.image(), patient.label() > 0
    every = -(-max(mask.shape) // LONGEST)
    part = (slice(None, None, every),) * 3
    return image[:, *part], mask[part]


def nearest(folders: Sequence[Path], training: Sequence[Path]) -> pd.DataFrame:
    """The nearest of the ``training`` patients to each patient's image, and to its tumour.

    One row a patient: ``patient_id``, ``image_patient`` and ``image_distance``, ``mask_patient``
    and ``mask_distance``. Training patients are compared with mirrored too, but not warped.
    """
    known = [_small(folder) for folder in training]
    names = [Path(folder).name for folder in training]
    rows = []
    for folder in folders:
        image, mask = _small(folder)
        images = [image_distance(image, other) for other, _ in known]
        masks = [mask_distance(mask, other) for _, other in known]
        rows.append(
            (
                Path(folder).name,
                names[int(np.argmin(images))],
                min(images),
                names[int(np.argmin(masks))],
                min(masks),
            )
        )
    return pd.DataFrame(rows, columns=COLUMNS)
