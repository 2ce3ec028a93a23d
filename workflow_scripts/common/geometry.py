"""Reading a header's geometry, and comparing the grids of volumes."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

TOLERANCE_MM = 0.1
# What to use if a header's sform and qform disagree or are missing: the header must be unambiguous;
# the sform; the qform; or the array's axes point right, to the front and up.
Geometry = Literal["ask", "sform", "qform", "as_stored"]
ASK: Geometry = "ask"


def same_grid(
    shape: tuple[int, ...],
    affine: NDArray,
    other_shape: tuple[int, ...],
    other_affine: NDArray,
    tolerance_mm: float = TOLERANCE_MM,
) -> bool:
    """Whether two volumes have the same voxel grid, within a tolerance."""
    if shape != other_shape:
        return False
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    apart = corners @ (affine - other_affine)[:3, :3].T + (affine - other_affine)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).max()) < tolerance_mm
