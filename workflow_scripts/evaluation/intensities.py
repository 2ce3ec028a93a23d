"""How the intensities of two sets of patients are distributed, in the tumour and elsewhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient
from workflow_scripts.evaluation.contrast import surroundings

REGIONS = ("tumour", "surroundings", "rest")
# Of each patient and region, evenly chosen, so that all patients count alike.
VOXELS = 2000


def regions_of(
    tumour: NDArray[np.bool_], inside: NDArray[np.bool_], grid: Grid, ring_mm: tuple[float, float]
) -> dict[str, NDArray[np.bool_]]:
    """Masks (X, Y, Z) of the tumour, of what lies ``ring_mm`` about it, and of the rest."""
    ring = surroundings(tumour, inside, grid.spacing_mm, ring_mm)
    return {"tumour": tumour, "surroundings": ring, "rest": inside & ~tumour & ~ring}


def sampled(
    folders: Sequence[Path], grid: Grid, ring_mm: tuple[float, float]
) -> dict[str, NDArray[np.float32]]:
    """Intensities (M, n) by region, the same number of each patient that has the region."""
    found: dict[str, list[NDArray]] = {name: [] for name in REGIONS}
    for patient in map(Patient, folders):
        image = patient.image()
        masks = regions_of(patient.label() > 0, patient.foreground(), grid, ring_mm)
        for name, mask in masks.items():
            if mask.any():
                values = image[:, mask]
                chosen = np.linspace(0, values.shape[1] - 1, VOXELS).astype(int)
                found[name].append(values[:, chosen])
    return {name: np.concatenate(parts, 1) for name, parts in found.items() if parts}


def intensity_distances(
    a: dict[str, NDArray], b: dict[str, NDArray], modalities: Sequence[str]
) -> Iterator[tuple[str, float]]:
    """Wasserstein-1 distances by region and modality; the images run from 0 to 1."""
    for region in REGIONS:
        for k, modality in enumerate(modalities):
            if region in a and region in b:
                value = wasserstein_distance(a[region][k], b[region][k])
                yield f"intensity_{region}_{modality}", float(value)
