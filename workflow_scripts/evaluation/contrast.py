"""How visible tumours are."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

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


def steps(
    folders: Sequence[Path], grid: Grid, ring_mm: tuple[float, float], modalities: int
) -> NDArray[np.float64]:
    """Step (N, M) of each patient that has a tumour to measure; (0, M) if none has."""
    values = []
    for patient in map(Patient, folders):
        volumes = patient.image(), patient.label() > 0, patient.foreground()
        value = tumour_step(*volumes, grid.spacing_mm, ring_mm)
        if np.isnan(value).any():
            logging.warning("%s: no tumour with brain about it, left out", patient.folder)
        else:
            values.append(value)
    return np.array(values).reshape(-1, modalities)


def ratio_of_means(
    above: NDArray[np.float64], below: NDArray[np.float64], confidence: float
) -> tuple[float, float, float]:
    """Mean of ``above`` (N,) over mean of ``below`` (K,), two independent groups of patients, with
    the interval of Fieller (1954): the ratios r for which

        (mean(above) − r mean(below))² ≤ t² (s²(above) / N + r² s²(below) / K).

    t has the degrees of freedom of Satterthwaite (1946) at the ratio found. The interval is NaN
    where it has no bounds, since the mean of ``below`` may be 0; all is NaN of an empty group.
    """
    if not len(above) or not len(below):
        return (np.nan,) * 3
    a, b = float(np.mean(above)), float(np.mean(below))
    if b == 0:
        return (np.nan,) * 3
    ratio = a / b
    if min(len(above), len(below)) < 2:
        return ratio, np.nan, np.nan
    va, vb = (float(np.var(values, ddof=1)) / len(values) for values in (above, below))
    parts = va, ratio**2 * vb
    if sum(parts) == 0:
        return ratio, ratio, ratio
    shares = sum(part**2 / (len(v) - 1) for part, v in zip(parts, (above, below), strict=True))
    t2 = stats.t.ppf((1 + confidence) / 2, sum(parts) ** 2 / shares) ** 2
    # A r² − 2 B r + C ≤ 0.
    first, middle, last = b**2 - t2 * vb, a * b, a**2 - t2 * va
    if first <= 0:
        return ratio, np.nan, np.nan
    root = np.sqrt(max(middle**2 - first * last, 0.0))
    return ratio, float((middle - root) / first), float((middle + root) / first)


def contrast_rows(
    groups: Mapping[str, NDArray[np.float64]],
    unit: NDArray[np.float64],
    modalities: Sequence[str],
    confidence: float,
) -> list[dict]:
    """A row for each group and modality: mean contrast, and how synthetic patients compare.

    ``groups`` has the steps (N, M) of the patients of each of ``GROUPS``. ``contrast_z`` is their
    mean in units (M,) of ``healthy_spread``. ``ratio`` is that of the synthetic patients over that
    of the group, with its interval, ``ratio_low`` to ``ratio_high``, over the patients of both.
    """
    rows = []
    for group, values in groups.items():
        for number, modality in enumerate(modalities):
            mean = float(values[:, number].mean()) / unit[number] if len(values) else np.nan
            row = {"group": group, "modality": modality, "patients": len(values)}
            pair = groups["synthetic"][:, number], values[:, number]
            estimate = (np.nan,) * 3 if group == "synthetic" else ratio_of_means(*pair, confidence)
            names = ("ratio", "ratio_low", "ratio_high")
            rows.append({**row, "contrast_z": mean, **dict(zip(names, estimate, strict=True))})
    return rows
