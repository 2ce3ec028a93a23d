"""The one grid on which all preprocessed and synthetic patients lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The centre of the MNI152 brain with the cerebellum, on which every grid is centred.
TEMPLATE_CENTRE_MM = (0.0, -18.0, 8.0)


@dataclass(frozen=True)
class Grid:
    """A grid in MNI152 template space with RAS+ axes.

    ``shape`` counts voxels and ``spacing_mm`` gives millimetres along x (left to right),
    y (posterior to anterior) and z (inferior to superior).
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def from_settings(cls, settings: dict) -> "Grid":
        """Make the grid from the ``grid`` section of the configuration."""
        shape = tuple(int(n) for n in settings["shape"])
        spacing = tuple(float(s) for s in settings["spacing_mm"])
        return cls(shape, spacing)

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to template millimetres, 4 × 4."""
        affine = np.diag([*self.spacing_mm, 1.0])
        middle = (np.array(self.shape) - 1) / 2 * np.array(self.spacing_mm)
        affine[:3, 3] = np.array(TEMPLATE_CENTRE_MM) - middle
        return affine

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Length of each side of the volume."""
        return tuple(n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000

    def to_mm(self, voxels: NDArray) -> NDArray[np.float64]:
        """Voxel coordinates (N, 3) to template millimetres (N, 3)."""
        return np.asarray(voxels) * np.array(self.spacing_mm) + self.affine[:3, 3]

    def to_voxel(self, mm: NDArray) -> NDArray[np.float64]:
        """Template millimetres (N, 3) to voxel coordinates (N, 3)."""
        return (np.asarray(mm) - self.affine[:3, 3]) / np.array(self.spacing_mm)
