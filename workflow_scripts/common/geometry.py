"""Whether volumes lie on the same voxels."""

import numpy as np
from numpy.typing import NDArray

TOLERANCE_MM = 0.1


def same_grid(
    shape: tuple[int, ...],
    affine: NDArray,
    other_shape: tuple[int, ...],
    other_affine: NDArray,
) -> bool:
    """Whether two volumes have the same voxels at the same places, within ``TOLERANCE_MM``."""
    if shape != other_shape:
        return False
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    apart = corners @ (affine - other_affine)[:3, :3].T + (affine - other_affine)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).max()) < TOLERANCE_MM
