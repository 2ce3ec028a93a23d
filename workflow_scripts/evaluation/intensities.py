"""Distances between the intensity distributions of two sets of patients, inside and outside the
tumour."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient
from workflow_scripts.evaluation.tumour_contrast import surroundings

REGIONS = ("tumour", "surroundings", "rest")
# Values per patient and region, evenly spaced, so that all patients count equally.
VOXELS = 500


def regions_of(
    tumour: NDArray[np.bool_], inside: NDArray[np.bool_], grid: Grid, ring_mm: tuple[float, float]
) -> dict[str, NDArray[np.bool_]]:
    """Masks (X, Y, Z) of the tumour, of its surroundings at ``ring_mm``, and of the rest."""
    ring = surroundings(tumour, inside, grid.spacing_mm, ring_mm)
    return {"tumour": tumour, "surroundings": ring, "rest": inside & ~tumour & ~ring}


def sampled(
    folder: Path, grid: Grid, ring_mm: tuple[float, float]
) -> dict[str, NDArray[np.float32]]:
    """Intensities (M, n) of a patient by region, with the same number for each region that
    exists."""
    patient = Patient(folder)
    image = patient.image()
    masks = regions_of(patient.label() > 0, patient.foreground(), grid, ring_mm)
    intensities = {}
    for name, mask in masks.items():
        if mask.any():
            values = image[:, mask]
            intensities[name] = values[:, np.linspace(0, values.shape[1] - 1, VOXELS).astype(int)]
    return intensities


def intensity_distance(
    a: Sequence[dict[str, NDArray]], b: Sequence[dict[str, NDArray]], region: str, modality: int
) -> float:
    """Wasserstein-1 distance between the intensities (``sampled``) of two groups' patients, in a
    region and a modality (by index); images range from 0 to 1. NaN if a group does not have the
    region.
    """
    values = [[one[region][modality] for one in group if region in one] for group in (a, b)]
    if not all(values):
        return float("nan")
    return float(wasserstein_distance(*map(np.concatenate, values)))
