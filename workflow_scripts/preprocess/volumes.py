"""Volumes with their geometry: NIfTI arrays as SimpleITK images, and back."""

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError
from workflow_scripts.common.geometry import ASK, Geometry
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import load_volume

# SimpleITK's axes point left and to the back (LPS), NIfTI's right and to the front (RAS).
FLIP = np.diag([-1.0, -1.0, 1.0])


def to_image(array: NDArray, affine: NDArray) -> sitk.Image:
    """A SimpleITK image of an array (X, Y, Z) with a NIfTI affine (4 × 4, voxel to mm)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # Headers in single precision are not quite orthonormal: use the closest rotation (SVD).
    u, _, v = np.linalg.svd(affine[:3, :3] / spacing)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((FLIP @ u @ v).ravel().tolist())
    image.SetOrigin((FLIP @ affine[:3, 3]).tolist())
    return image


def to_array(image: sitk.Image) -> NDArray:
    """The array (X, Y, Z) of a SimpleITK image."""
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def grid_image(grid: Grid) -> sitk.Image:
    """An empty image with the grid's geometry, as a target of resampling."""
    return to_image(np.zeros(grid.shape, np.float32), grid.affine)


def canonical_volume(
    reference: str, geometry: Geometry = ASK
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read a file, or one volume of a 4-D file (``path#k``), with axes closest to RAS+.

    Returns the array (X, Y, Z) and its affine. ``geometry`` resolves an ambiguous header. Raises
    ``UserError`` as ``load_volume`` does, and for values that are not finite.
    """
    array, affine = load_volume(reference, geometry)
    volume = nib.as_closest_canonical(nib.Nifti1Image(array.astype(np.float32), affine))
    data = np.asarray(volume.dataobj)
    if not np.isfinite(data).all():
        raise UserError(f"{reference}: holds values that are not finite")
    return data, volume.affine
