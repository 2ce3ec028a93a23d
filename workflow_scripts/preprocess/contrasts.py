"""The contrasts of a brain: the intensity of each tissue in each modality, with a smooth bias
field.

With tissue maps f, an image is approximately sum_t f_t(v) b_t(v), where b_t is a polynomial of
second degree in the position. This describes most of an image outside the tumour with a few numbers
per patient. Each region of the tumour has one intensity in each modality.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from workflow_scripts.common.attributes import SHARES
from workflow_scripts.common.grid import Grid
from workflow_scripts.preprocess.tissue import TISSUES

# Canonical values of the tumour's regions: necrotic core, oedema, enhancing tumour.
REGION_VALUES = (1, 2, 3)
# Standard deviation, in voxels, of the Gaussian that mixes regions at their edges; chosen at 3 mm.
EDGE_VOXELS = 0.6
# Ridge of the regions' intensities, in voxels.
REGION_RIDGE = 0.5
# Smaller regions consist of edges, and do not determine an intensity.
LEAST_ML = 0.5
# Coefficients of a polynomial of second degree in three variables.
TERMS = 10
# Unit of the positions.
UNIT_MM = 100.0
# Margin around the tumour, in voxels, that is excluded.
MARGIN_VOXELS = 2
# Ridge, in voxels, for tissues that a brain hardly has.
RIDGE = 1.0


def _predictors(tissue: NDArray, where: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Products of tissue fractions and polynomial terms (3 * ``TERMS``, n) at the voxels
    ``where``."""
    x, y, z = grid.to_mm(np.argwhere(where)).T / UNIT_MM
    terms = np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z])
    return (tissue[:, where][:, None] * terms).reshape(-1, len(x))


def fit_contrasts(
    image: NDArray, tissue: NDArray, label: NDArray, grid: Grid
) -> NDArray[np.float32]:
    """Contrasts (3, ``TERMS``, M) of an image (M, X, Y, Z) with tissue maps (3, X, Y, Z), 0 to 1,
    by ridge regression away from the tumour of its label (X, Y, Z)."""
    tumour = ndimage.binary_dilation(label > 0, iterations=MARGIN_VOXELS)
    where = (tissue.sum(0) > 0) & ~tumour
    predictors = _predictors(tissue, where, grid)
    gram = predictors @ predictors.T + RIDGE * np.eye(len(predictors))
    coefficients = np.linalg.solve(gram, predictors @ image[:, where].T.astype(np.float64))
    return coefficients.reshape(len(TISSUES), TERMS, len(image)).astype(np.float32)


def draw_contrasts(contrasts: NDArray, tissue: NDArray, grid: Grid) -> NDArray[np.float32]:
    """Render the image (M, X, Y, Z), 0 to 1, of a brain with tissue maps (3, X, Y, Z), 0 to 1, and
    contrasts (3, ``TERMS``, M), without tumour, texture or noise."""
    where = tissue.sum(0) > 0
    image = np.zeros((contrasts.shape[-1], *tissue.shape[1:]), np.float32)
    coefficients = contrasts.reshape(-1, contrasts.shape[-1])
    image[:, where] = (coefficients.T @ _predictors(tissue, where, grid)).clip(0, 1)
    return image


def _shares(
    label: NDArray[np.uint8], brain: NDArray[np.float32]
) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
    """The box of a canonical label (X, Y, Z) around the tumour, and the share of each region in its
    voxels (3, x, y, z): voxels at an edge are mixtures. Outside the tumour and a rendered ``brain``
    (M, X, Y, Z) the shares are 0."""
    voxels = np.argwhere(label > 0)
    low, high = voxels.min(0) - MARGIN_VOXELS, voxels.max(0) + MARGIN_VOXELS + 1
    part = tuple(slice(max(0, a), b) for a, b in zip(low, high, strict=True))
    masks = [(label[part] == value).astype(np.float32) for value in REGION_VALUES]
    shares = np.stack([ndimage.gaussian_filter(mask, EDGE_VOXELS) for mask in masks])
    inside = (label[part] > 0) | (brain[(slice(None), *part)] > 0).any(0)
    return part, shares * inside


def region_intensities(
    image: NDArray, brain: NDArray[np.float32], label: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Intensity (3, M) of each region of a tumour (``REGION_VALUES``) in an image (M, X, Y, Z) with
    canonical label (X, Y, Z), by regression on the regions' shares of the voxels, with a ridge
    towards the region's mean; the remaining share of a voxel is ``brain`` (``draw_contrasts``). The
    intensity of a thin bright region may exceed 1. NaN for a region that the tumour lacks."""
    intensities = np.full((len(REGION_VALUES), len(image)), np.nan, np.float32)
    if not (label > 0).any():
        return intensities
    for row, value in enumerate(REGION_VALUES):
        if (label == value).any():
            intensities[row] = image[:, label == value].mean(1)
    part, shares = _shares(label, brain)
    here, means = (slice(None), *part), np.nan_to_num(intensities)
    # Residuals of the regions' means, so that the ridge pulls towards these.
    residuals = image[here] - (1 - shares.sum(0)) * brain[here]
    residuals = residuals - np.einsum("kxyz,km->mxyz", shares, means)
    predictors = shares.reshape(len(shares), -1).astype(np.float64)
    gram = predictors @ predictors.T + REGION_RIDGE * np.eye(len(shares))
    change = np.linalg.solve(gram, predictors @ residuals.reshape(len(image), -1).T)
    return (intensities + change).astype(np.float32)


def region_volumes(attributes: pd.DataFrame) -> NDArray[np.float64]:
    """Volumes in mL (N, 3) of each region (``REGION_VALUES``), from tumours' attributes. A tumour
    without shares has one region, so all regions get its whole volume."""
    core, enhancing = (attributes[name].to_numpy(float) for name in SHARES)
    shares = np.stack([core - enhancing, 1 - core, enhancing], axis=1)
    return np.nan_to_num(shares, nan=1) * attributes[["volume_ml"]].to_numpy(float)


def fill_intensities(
    intensities: NDArray[np.float32], contrasts: NDArray[np.float32], volumes_ml: NDArray
) -> NDArray[np.float32]:
    """Intensities (N, 3, M) of patients' regions without missing values.

    If a tumour lacks a region (NaN), or has less than ``LEAST_ML`` of it by ``volumes_ml`` (N, 3),
    the values of another patient are used: of all patients with that region, the one with the most
    similar tissues, by the constant terms of the ``contrasts`` (N, 3, ``TERMS``, M). A region that
    no patient has gets the mean over all regions, or 0 without any tumour.
    """
    known = np.isfinite(intensities).all(-1)
    filled = np.where(known[..., None], intensities, 0)
    mean = filled.sum((0, 1)) / max(1, known.sum())
    tissues = contrasts[:, :, 0].reshape(len(contrasts), -1)
    for region in range(len(REGION_VALUES)):
        own = known[:, region]
        if not own.any():
            filled[:, region] = mean
            continue
        enough = own & (volumes_ml[:, region] >= LEAST_ML)
        donors = np.flatnonzero(enough if enough.any() else own)
        _, nearest = cKDTree(tissues[donors]).query(tissues)
        filled[:, region] = filled[donors[nearest], region]
        filled[donors, region] = intensities[donors, region]
    return filled.astype(np.float32)


def paint_regions(
    image: NDArray[np.float32], label: NDArray[np.uint8], intensities: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Paint each region of a canonical label (X, Y, Z) into an image (M, X, Y, Z) with its
    intensities (3, M), mixed at the edges."""
    if not (label > 0).any():
        return image
    part, shares = _shares(label, image)
    here, painted = (slice(None), *part), image.copy()
    # A region that this tumour lacks has no share.
    added = np.einsum("kxyz,km->mxyz", shares, np.nan_to_num(intensities))
    painted[here] = ((1 - shares.sum(0)) * image[here] + added).clip(0, 1)
    return painted
