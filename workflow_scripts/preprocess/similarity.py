"""The agreement of two modalities of a patient after their registration."""

import itertools
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

# Cubic voxels (mm) on which modalities are compared. The lengths below are in these voxels.
VOXEL_MM = 4.0
# Side of the windows of local correlation.
WINDOW = 5
# Distance of the windows' centres from the edge of the brain, which all heads have in common.
MARGIN = 2
# Displacement, along each axis in both directions, at which two modalities hardly correlate.
SHIFT = 3
# Smallest standard deviation in a window, as a share of the brain's 99th percentile.
FLAT = 1e-3


@dataclass(frozen=True)
class _Windows:
    """A volume (Z, Y, X) with the mean and the standard deviation of the window around each
    voxel."""

    values: NDArray[np.float32]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "_Windows":
        mean = ndimage.uniform_filter(values, WINDOW)
        variance = ndimage.uniform_filter(values * values, WINDOW) - mean * mean
        return cls(values, mean, np.sqrt(np.maximum(variance, FLAT**2)))

    def shifted(self, offset: int, axis: int) -> "_Windows":
        return _Windows(*(np.roll(a, offset, axis) for a in (self.values, self.mean, self.spread)))


class Comparison:
    """The brain of a reference modality, with which others are compared."""

    def __init__(self, reference: sitk.Image, brain: sitk.Image) -> None:
        """``brain`` is a mask on the voxels of ``reference``."""
        self.reference = reference
        self.mask = _coarse(brain, reference, sitk.Transform(), sitk.sitkNearestNeighbor) > 0
        extent = ndimage.find_objects(self.mask.astype(np.uint8))[:1]
        # Displaced windows come back at the other side, where this border has no brain.
        border = SHIFT + WINDOW // 2
        self.box = tuple(
            slice(max(0, side.start - border), side.stop + border) for side in (extent or [()])[0]
        )
        self.inner = ndimage.binary_erosion(self.mask, iterations=MARGIN)[self.box]
        self.windows = self._windows(reference, sitk.Transform())

    def _windows(self, image: sitk.Image, transform: sitk.Transform) -> _Windows:
        values = _coarse(image, self.reference, transform, sitk.sitkLinear)
        high = np.percentile(values[self.mask], 99) if self.mask.any() else 0.0
        return _Windows.of(values[self.box] / max(float(high), 1e-6))

    def similarity(self, moving: sitk.Image, transform: sitk.Transform) -> float | None:
        """How much better a modality fits where ``transform`` puts it than 12 mm away.

        ``transform`` maps points (mm) of the reference to points of ``moving``. The result is the
        mean squared local correlation in the brain, divided by its mean over six displacements. It
        depends neither on contrasts nor on their sign, and is little above 1 for the images of two
        patients. ``None`` if the brain is smaller than the windows.
        """
        if not self.inner.any():
            return None
        other = self._windows(moving, transform)
        away = [
            self._correlation(other.shifted(offset, axis), np.roll(self.inner, offset, axis))
            for axis, offset in itertools.product(range(3), (-SHIFT, SHIFT))
        ]
        return self._correlation(other, self.inner) / max(float(np.mean(away)), FLAT)

    def _correlation(self, other: _Windows, seen: NDArray[np.bool_]) -> float:
        """Mean squared local correlation of the reference and another volume, of which the voxels
        ``seen`` are brain."""
        own = self.windows
        covariance = ndimage.uniform_filter(own.values * other.values, WINDOW)
        covariance -= own.mean * other.mean
        correlation = (covariance / (own.spread * other.spread))[self.inner & seen]
        return float(np.mean(np.clip(correlation, -1, 1) ** 2)) if correlation.size else 0.0


def _coarse(
    image: sitk.Image, reference: sitk.Image, transform: sitk.Transform, interpolator: int
) -> NDArray[np.float32]:
    """A volume (Z, Y, X) on cubic voxels that cover the reference."""
    size = [
        max(1, int(np.ceil(n * spacing / VOXEL_MM)))
        for n, spacing in zip(reference.GetSize(), reference.GetSpacing(), strict=True)
    ]
    grid = reference.GetOrigin(), [VOXEL_MM] * 3, reference.GetDirection()
    low = float(np.min(sitk.GetArrayViewFromImage(image)[::4, ::4, ::4]))
    resampled = sitk.Resample(image, size, transform, interpolator, *grid, low, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(resampled)
