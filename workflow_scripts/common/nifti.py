"""NIfTI files, written with the same bytes each time."""

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError, staged

# What nibabel raises for files that are damaged, cut short, or no images.
UNREADABLE = (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error)


def split_index(reference: str | Path) -> tuple[str, int | None]:
    """Split ``file.nii.gz#2``, one volume of a 4-D file, into the path and the volume's index."""
    path, mark, index = str(reference).rpartition("#")
    return (path, int(index)) if mark and index.isdecimal() else (str(reference), None)


def load_nifti(reference: str | Path) -> tuple[NDArray, NDArray[np.float64], nib.Nifti1Header]:
    """Read a volume (X, Y, Z), its affine (4 × 4, voxel to mm, RAS+) and its header.

    ``path#k`` reads the k-th volume of a 4-D file. Raises ``UserError`` for a file that is
    missing, damaged or of another dimension.
    """
    path, index = split_index(reference)
    try:
        image = nib.load(path)
        array = np.asarray(image.dataobj if index is None else image.dataobj[..., index])
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except UNREADABLE as error:
        raise UserError(f"{path}: cannot be read as NIfTI ({error})") from error
    except IndexError as error:
        raise UserError(f"{path}: has no volume number {index}") from error
    if array.dtype.fields:
        raise UserError(f"{path}: holds colours, numbers are needed")
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise UserError(f"{path}: has {array.ndim} dimensions, a volume of 3 is needed")
    return array, image.affine, image.header


def save_nifti(
    array: NDArray, affine: NDArray, path: str | Path, dtype: type | str | None = None
) -> None:
    """Write a volume (X, Y, Z) with its affine (4 × 4, voxel to mm, RAS+) as ``.nii.gz``.

    The gzip header carries neither name nor time, so that equal volumes are equal files.
    """
    image = nib.Nifti1Image(np.asarray(array, dtype=dtype or array.dtype), affine)
    image.header.set_xyzt_units("mm")
    with (
        staged(path) as temporary,
        open(temporary, "wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())
