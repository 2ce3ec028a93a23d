"""Correction of the bias field, and normalisation of intensities."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError


def correct_bias(image: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """Divide by the bias field, estimated by N4 (Tustison et al. 2010) on voxels of some 4 mm."""
    factors = [max(1, round(4.0 / spacing)) for spacing in image.GetSpacing()]
    small = sitk.Shrink(image, factors)
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations([30, 30, 20])
    corrector.SetNumberOfThreads(1)
    # N4 takes logarithms: intensities must be positive.
    low = float(sitk.GetArrayViewFromImage(small).min())
    corrector.Execute(small - low + 1.0, sitk.Cast(sitk.Shrink(mask, factors) > 0, sitk.sitkUInt8))
    field = sitk.Exp(corrector.GetLogBiasFieldAsImage(image))
    return sitk.Cast((image - low + 1.0) / field, sitk.sitkFloat32)


def normalise(
    volume: NDArray[np.float32], brain: NDArray[np.bool_], percentiles: tuple[float, float]
) -> NDArray[np.float32]:
    """Scale a volume (X, Y, Z) so that two percentiles inside the brain become 0 and 1.

    Values are clipped to this range, so that a few bright voxels do not determine the scale;
    outside the brain the result is 0. Raises ``UserError`` if the two percentiles are equal.
    """
    low, high = np.percentile(volume[brain], percentiles)
    if not high > low:
        raise UserError(f"holds one value, {low:g}, in nearly all of the brain; it is not an image")
    scaled = (volume - low) / (high - low)
    return (scaled.clip(0, 1) * brain).astype(np.float32)
