"""Resampling onto a grid, once from the raw voxels, of images, labels and masks."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.preprocess.volumes import to_array, to_image


def _spacing_along(image: sitk.Image, target: sitk.Image) -> NDArray[np.float64]:
    """The target's spacing along each of the image's axes: that of the target's closest axis.

    Files may store their axes in any order.
    """
    own, other = (np.reshape(each.GetDirection(), (3, 3)) for each in (image, target))
    return np.array(target.GetSpacing())[np.abs(own.T @ other).argmax(1)]


def _smoothed(image: sitk.Image, target: sitk.Image) -> sitk.Image:
    """Smooth with a Gaussian as wide as the target's voxels, to avoid aliasing.

    Voxels of s mm are treated as Gaussians with a full width at half maximum of s. Going to t mm
    adds the difference of the variances, along each of the image's axes.
    """
    source, wanted = np.array(image.GetSpacing()), _spacing_along(image, target)
    sigma = np.sqrt(np.maximum(wanted**2 - source**2, 0)) / 2.355
    result = sitk.Cast(image, sitk.sitkFloat32)
    for axis, width in enumerate(sigma):
        if width > 0.2 * source[axis]:
            result = sitk.RecursiveGaussian(result, float(width), direction=axis)
    return result


def resample_image(
    image: sitk.Image, target: sitk.Image, transform: sitk.Transform
) -> NDArray[np.float32]:
    """Values (X, Y, Z) on the target grid by a cubic B-spline, without aliasing.

    ``transform`` maps the target's points (mm) to the image's. Outside the image the result is the
    image's smallest value.
    """
    low = float(sitk.GetArrayViewFromImage(image).min())
    resampled = sitk.Resample(
        _smoothed(image, target), target, transform, sitk.sitkBSpline3, low, sitk.sitkFloat32
    )
    return to_array(resampled)


def resample_label(
    label: NDArray[np.uint8], affine: NDArray, target: sitk.Image, transform: sitk.Transform
) -> NDArray[np.uint8]:
    """A label map (X, Y, Z) on the target grid.

    Each class is resampled as a share of the voxel. A voxel is labelled if all classes together
    fill half of it, with the class that fills most. Small structures keep their volume, and no
    third class appears between two others. Labels that fill half of no voxel get the voxels that
    they fill most, as many as their volume corresponds to.
    """
    shares = []
    values = [int(v) for v in np.unique(label) if v]
    label, affine = _cropped(label, affine, max(target.GetSpacing()))
    for value in values:
        image = _smoothed(to_image((label == value).astype(np.float32), affine), target)
        resampled = sitk.Resample(image, target, transform, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
        shares.append(to_array(resampled))
    if not values:
        return np.zeros(target.GetSize(), np.uint8)
    stack = np.stack(shares)
    winner = np.array(values, np.uint8)[stack.argmax(0)]
    filled = stack.sum(0)
    threshold, voxels = 0.5, round(float(filled.sum()))
    if filled.max() < threshold and voxels:
        threshold = np.partition(filled, -voxels, axis=None)[-voxels]
    return np.where(filled >= threshold, winner, 0).astype(np.uint8)


def _cropped(
    label: NDArray[np.uint8], affine: NDArray, width_mm: float
) -> tuple[NDArray[np.uint8], NDArray]:
    """The box of a label map around all labels, with a margin for smoothing, and its affine."""
    if not label.any():
        return label, affine
    voxels = np.argwhere(label)
    margin = 2 + np.ceil(2 * width_mm / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
    low = np.maximum(voxels.min(0) - margin, 0)
    high = np.minimum(voxels.max(0) + 1 + margin, label.shape)
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ low + affine[:3, 3]
    return label[tuple(map(slice, low, high))], moved


def resample_mask(
    mask: NDArray[np.bool_], affine: NDArray, target: sitk.Image, transform: sitk.Transform
) -> NDArray[np.bool_]:
    """A mask (X, Y, Z) on the target grid, by the same rule as labels."""
    return resample_label(mask.astype(np.uint8), affine, target, transform) > 0
