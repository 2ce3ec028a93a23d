"""A brain's contrasts: the intensity of each tissue in each modality, under a smooth brightness.

With tissue maps f, an image is about sum_t f_t(v) b_t(v), where b_t is a polynomial of second
degree in the position. That is most of an image away from the tumour, in a few numbers a patient.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.grid import Grid
from workflow_scripts.preprocess.tissue import TISSUES

# Coefficients of a polynomial of second degree in three variables.
TERMS = 10
# One unit of the positions.
UNIT_MM = 100.0
# Voxels around the tumour that are left out.
MARGIN_VOXELS = 2
# Ridge, in voxels: a tissue that a brain hardly has tells nothing of its brightness.
RIDGE = 1.0


def _predictors(tissue: NDArray, where: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Tissue fractions times terms of the position (3 * ``TERMS``, n), of the voxels ``where``."""
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
    found = np.linalg.solve(gram, predictors @ image[:, where].T.astype(np.float64))
    return found.reshape(len(TISSUES), TERMS, len(image)).astype(np.float32)


def draw_contrasts(contrasts: NDArray, tissue: NDArray, grid: Grid) -> NDArray[np.float32]:
    """The image (M, X, Y, Z), 0 to 1, of a brain with tissue maps (3, X, Y, Z), 0 to 1, and
    contrasts (3, ``TERMS``, M): without a tumour, texture or noise."""
    where = tissue.sum(0) > 0
    image = np.zeros((contrasts.shape[-1], *tissue.shape[1:]), np.float32)
    coefficients = contrasts.reshape(-1, contrasts.shape[-1])
    image[:, where] = (coefficients.T @ _predictors(tissue, where, grid)).clip(0, 1)
    return image
