"""Measures of whole brains: outline, volume, and agreement of neighbouring slices."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient

# Smoothing of the outline with which it is compared.
SMOOTHED_MM = 6.0


def slice_ratio(image: NDArray, inside: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Differences between neighbouring slices over differences between neighbours within slices,
    both per millimetre, inside the foreground (X, Y, Z) and over all modalities of ``image``
    (M, X, Y, Z).

    Stripes raise it; slices that are copies of each other lower it.
    """
    steps = []
    for axis, spacing in enumerate(spacing_mm):
        low, high = (
            tuple(part if a == axis else slice(None) for a in range(3))
            for part in (slice(None, -1), slice(1, None))
        )
        both = inside[low] & inside[high]
        difference = np.abs(image[:, *high] - image[:, *low])
        steps.append(float(difference[:, both].mean()) / spacing)
    return 2 * steps[2] / (steps[0] + steps[1])


def outline_roughness(inside: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Share of the foreground (X, Y, Z) that smoothing over ``SMOOTHED_MM`` removes or adds."""
    sigma = [SMOOTHED_MM / spacing for spacing in spacing_mm]
    smooth = ndimage.gaussian_filter(inside.astype(np.float32), sigma) > 0.5
    return float((smooth != inside).sum() / inside.sum())


def whole_brain(patient: Patient, grid: Grid) -> dict[str, float]:
    """``slice_ratio``, ``outline_roughness`` and ``brain_ml`` of a patient."""
    inside = patient.foreground()
    return {
        "slice_ratio": slice_ratio(patient.image(), inside, grid.spacing_mm),
        "outline_roughness": outline_roughness(inside, grid.spacing_mm),
        "brain_ml": float(inside.sum()) * grid.voxel_ml,
    }
