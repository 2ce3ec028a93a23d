"""How near synthetic patients come to the ones that the generator learned from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.masks import dice
from workflow_scripts.common.patients import Patient


def image_distance(a: NDArray, b: NDArray) -> float:
    """Root mean square difference of images (M, X, Y, Z), nearest of ``b`` and ``b`` mirrored."""
    return min(float(np.sqrt(np.mean((a - other) ** 2))) for other in (b, b[:, ::-1]))


def mask_distance(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """1 - Dice of tumours (X, Y, Z), nearest of ``b`` and ``b`` mirrored."""
    return min(1 - dice(a, other) for other in (b, b[::-1]))


def nearest(
    folders: Sequence[Path], training: Sequence[Path]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Path]]:
    """For each patient the distance of its image, and of its tumour, to the nearest of the
    ``training`` patients, and whose image that is. One patient at a time is held in memory."""
    images, masks, whose = [], [], []
    for patient in map(Patient, folders):
        image, mask = patient.image(), patient.label() > 0
        by_image, by_mask = [], []
        for other in map(Patient, training):
            by_image.append(image_distance(image, other.image()))
            by_mask.append(mask_distance(mask, other.label() > 0))
        images.append(min(by_image))
        masks.append(min(by_mask))
        whose.append(training[int(np.argmin(by_image))])
    return np.array(images), np.array(masks), whose
