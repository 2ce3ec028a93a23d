"""The MNI152 template with a head around it, from which all phantom patients are deformed."""

import functools
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.mni152 import mni152
from workflow_scripts.phantoms.random_fields import Array, voxel_points

SPACING_MM = 2.0
LOW_MM, HIGH_MM = np.array([-100.0, -140.0, -110.0]), np.array([100.0, 116.0, 112.0])
FLOOR_MM = -98.0  # the field of view ends in the neck


@dataclass(frozen=True)
class Template:
    """Tissue maps of MNI152 at 1 mm, and distances at 2 mm, each on its own grid.

    ``tissue`` (3, X, Y, Z): fractions of grey matter, white matter and brain, 0 to 1. Voxel ``v``
    lies at ``v + tissue_origin`` in template mm.
    ``distance`` (3, x, y, z): mm outside the brain's surface, mm under the skin, and mm outside the
    lateral ventricles, each negative on the other side. Voxel ``v`` lies at ``2 v + LOW_MM``.
    """

    tissue: Array
    tissue_origin: NDArray[np.float64]
    distance: Array

    def tissue_voxels(self, mm: Array) -> Array:
        """Points (3, …) in template mm as voxels of ``tissue``."""
        return mm - self.tissue_origin.astype(np.float32).reshape(3, *[1] * (mm.ndim - 1))

    def distance_voxels(self, mm: Array) -> Array:
        """Points (3, …) in template mm as voxels of ``distance``."""
        low = LOW_MM.astype(np.float32).reshape(3, *[1] * (mm.ndim - 1))
        return (mm - low) / np.float32(SPACING_MM)


def _signed_distance(mask: NDArray[np.bool_]) -> Array:
    """Distance (X, Y, Z) in mm to the surface of a mask (X, Y, Z) at ``SPACING_MM``, negative
    inside (Maurer et al. 2003), smoothed by a Gaussian of one voxel."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    maurer = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=False)
    # It is 0 in the mask's outermost voxels; the surface lies half a voxel farther out.
    distance = (sitk.GetArrayFromImage(maurer) - np.float32(0.5)) * np.float32(SPACING_MM)
    return ndimage.gaussian_filter(distance, 1.0)


def _ellipsoid(mm: Array, centre: tuple, radii: tuple) -> NDArray[np.bool_]:
    """Mask (X, Y, Z) of the points ``mm`` (3, X, Y, Z) in an ellipsoid along the axes, in mm."""
    scaled = [(mm[k] - centre[k]) / radii[k] for k in range(3)]
    return sum(s * s for s in scaled) < 1


def _head(from_brain: Array, mm: Array) -> NDArray[np.bool_]:
    """Mask (X, Y, Z) of the head at the points ``mm`` (3, X, Y, Z): all within 14 mm of the brain,
    a face and a neck."""
    neck = _ellipsoid(mm, (0, -35, -110), (58, 66, 75)) & (mm[2] < -40)
    face = _ellipsoid(mm, (0, 36, -65), (62, 62, 75)) & (mm[1] > 0)
    return (from_brain < 14) | neck | face


def _lateral_ventricles(fluid: NDArray[np.bool_], mm: Array) -> NDArray[np.bool_]:
    """Mask (X, Y, Z) of the ``fluid`` that is connected to the bodies of the lateral ventricles, at
    the points ``mm`` (3, X, Y, Z). A box keeps out fluid that reaches them from the surface."""
    x, y, z = np.abs(mm[0]), mm[1], mm[2]
    around = (x > 1) & (x < 36) & (y > -50) & (y < 36) & (z > -4) & (z < 34)
    body = (x > 4) & (x < 16) & (y > -12) & (y < 24) & (z > 8) & (z < 26)
    parts, _ = ndimage.label(fluid & around)
    return np.isin(parts, np.unique(parts[body & (parts > 0)]))


@functools.cache
def load_template() -> Template:
    """The template, from the MNI152 maps that nilearn ships; computed once per process."""
    (grey, _), (white, _), (t1, affine) = map(mni152, ("gm", "wm", "t1"))
    # The template ends at the brain stem; a closed mask has no holes at the ventricles.
    brain = ndimage.binary_fill_holes(t1 > 0)
    tissue = np.stack([grey / np.float32(255), white / np.float32(255), brain]).astype(np.float32)
    origin = affine[:3, 3]

    # The maps end at the brain. Copy every second voxel (nearest neighbour) onto a grid that has
    # room for a head.
    shape = tuple(np.round((HIGH_MM - LOW_MM) / SPACING_MM).astype(int) + 1)
    mm = voxel_points(shape) * np.float32(SPACING_MM) + LOW_MM[:, None, None, None]
    index = np.round(mm - origin[:, None, None, None]).astype(int)
    inside = np.all([(index[k] >= 0) & (index[k] < brain.shape[k]) for k in range(3)], axis=0)
    coarse = np.zeros((3, *shape), np.float32)
    coarse[:, inside] = tissue[(slice(None), *(index[k][inside] for k in range(3)))]
    from_brain = _signed_distance(coarse[2] > 0.5)
    under_skin = -_signed_distance(_head(from_brain, mm))

    ventricles = _lateral_ventricles(coarse[0] + coarse[1] < 0.5, mm)
    from_ventricles = _signed_distance(ventricles)
    return Template(tissue, origin, np.stack([from_brain, under_skin, from_ventricles]))
