"""The contrast of tumours against their surroundings."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient

# Test patients, the same after the autoencoder, training patients and synthetic patients.
GROUPS = ("real", "reconstructed", "training", "synthetic")


def surroundings(
    tumour: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    ring_mm: tuple[float, float],
) -> NDArray[np.bool_]:
    """The part of the foreground ``inside`` (X, Y, Z) at a distance of ``ring_mm`` from the
    tumour."""
    distance = ndimage.distance_transform_edt(~tumour, sampling=spacing_mm)
    return inside & ~tumour & (distance > ring_mm[0]) & (distance <= ring_mm[1])


def tumour_step(
    image: NDArray,
    tumour: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    ring_mm: tuple[float, float],
) -> NDArray[np.float64]:
    """Mean intensity (M,) of the whole tumour (X, Y, Z) minus that of its surroundings, the
    foreground ``inside`` at ``ring_mm``, in each modality of the image (M, X, Y, Z); NaN without a
    tumour or surroundings."""
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
    """``tumour_step`` (N, M) of each patient with a measurable tumour; (0, M) if there is none."""
    values = []
    for patient in map(Patient, folders):
        volumes = patient.image(), patient.label() > 0, patient.foreground()
        value = tumour_step(*volumes, grid.spacing_mm, ring_mm)
        if np.isnan(value).any():
            logging.warning("%s: no tumour surrounded by brain, omitted", patient.folder)
        else:
            values.append(value)
    return np.array(values).reshape(-1, modalities)


def ratio_of_means(
    above: NDArray[np.float64], below: NDArray[np.float64], confidence: float
) -> tuple[float, float, float]:
    """Mean of ``above`` (N,) over mean of ``below`` (K,), two independent groups of patients, with
    the interval of Fieller (1954): the ratios r for which

        (mean(above) − r mean(below))² ≤ t² (s²(above) / N + r² s²(below) / K).

    t has the degrees of freedom of Satterthwaite (1946) at the estimated ratio. The interval is NaN
    if it is unbounded, since the mean of ``below`` may be 0; all values are NaN for an empty group.
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
    """One row per group and modality: mean contrast, and the ratio of the synthetic patients to the
    group.

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
