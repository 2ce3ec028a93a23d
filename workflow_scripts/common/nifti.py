"""Volumes: NIfTI files written with reproducible bytes, and images read only if their header
defines the position of the voxels unambiguously."""

import contextlib
import gzip
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.freesurfer.mghformat import MGHError
from numpy.typing import NDArray

from workflow_scripts.common.files import InputError, staged
from workflow_scripts.common.geometry import ASK, Geometry, same_grid
from workflow_scripts.common.itk_files import AGAIN, SUFFIXES, open_itk_file
from workflow_scripts.common.machine import out_of_memory

# Exceptions of nibabel for files that are damaged, truncated, or no images.
UNREADABLE = (
    nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError,
    nib.spatialimages.ImageDataError, MGHError, OSError, EOFError, ValueError, TypeError,
    IndexError, KeyError, OverflowError, struct.error, zlib.error,
)  # fmt: skip
# Of NIfTI, Analyze and FreeSurfer.
NIBABEL_SUFFIXES = (".nii", ".nii.gz", ".nii.bz2", ".hdr", ".img", ".img.gz", ".mgh", ".mgz")
# Two affines of one header agree if they differ by less than this at all corners (mm).
AGREEMENT_MM = 1.0
# A header with a larger volume than any head's is damaged.
MOST_VOXELS = 2**30
SMALLEST_MM, LARGEST_MM = 0.05, 30
# Largest ratio of unpacked to packed size; 0: any.
LARGEST_RATIO = {".gz": 1100, ".mgz": 1100, ".bz2": 0}


def _line(error: Exception) -> str:
    """The message of an error on one line; a ``KeyError`` has only its key."""
    text = " ".join(str(error).split())
    return f"unknown code {text}" if isinstance(error, KeyError) else text


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Raise ``UserError`` for a file that cannot be read. Where memory is short no file is to
    blame."""
    try:
        yield
    except UNREADABLE as error:
        if out_of_memory(error):
            raise
        raise InputError(path, f"cannot be read ({_line(error)})", AGAIN) from error


def split_index(reference: str | Path) -> tuple[str, int | None]:
    """Split ``file.nii.gz#2``, one volume of a 4-D file, into the path and the volume's index."""
    path, mark, index = str(reference).rpartition("#")
    return (path, int(index)) if mark and index.isdecimal() else (str(reference), None)


@dataclass(frozen=True)
class VolumeHeader:
    """The header of one volume: its shape (X, Y, Z) and affine (4 × 4, voxel to mm, RAS+), and
    ``values``, which reads the voxels."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    values: Callable[[], NDArray]


def read_header(reference: str | Path, geometry: Geometry = ASK) -> VolumeHeader:
    """Open a volume of a format that nibabel reads, MetaImage or NRRD; ``path#k`` is the k-th of a
    4-D file.

    Raises ``UserError`` for a file that is missing, damaged or of another dimension, for values
    that are no numbers, and for a geometry that is ambiguous or no right-angled grid of voxels.
    """
    path, index = split_index(reference)
    try:
        if Path(path).is_dir():
            raise InputError(path, "is a folder", "name a file")
        if not Path(path).is_file():
            raise InputError(path, "does not exist", "name a file that does")
    except OSError as error:
        raise InputError(
            path, f"cannot be opened ({error.strerror})", "name another file"
        ) from None
    if path.lower().endswith(SUFFIXES):
        return _of_itk(path, index, geometry)
    if not path.lower().endswith(NIBABEL_SUFFIXES):
        known = ", ".join((*NIBABEL_SUFFIXES, *SUFFIXES))
        raise InputError(path, "is of no format that is read", f"convert it to one of {known}")
    with _reading(path):
        image = nib.load(path)
        shape = tuple(int(n) for n in image.shape)
        dtype = image.get_data_dtype()
    if dtype.fields:
        raise InputError(path, "holds colours", "write one number per voxel")
    if dtype.kind == "c":
        raise InputError(path, "holds complex numbers", "write their magnitude")
    _check_file_size(image, shape, dtype)
    shape = _volume_shape(path, shape, index)
    try:
        affine = _affine(path, image, shape, geometry)
    except UNREADABLE as error:
        raise InputError(
            path, f"its header gives no valid affine ({_line(error)})", "write a valid one"
        ) from error
    _check_axes(path, affine)
    data = image.dataobj
    return VolumeHeader(
        shape, affine, lambda: np.asarray(data if index is None else data[..., index])
    )


def _of_itk(path: str, index: int | None, geometry: Geometry) -> VolumeHeader:
    """The header of a MetaImage or NRRD file."""
    if index is not None:
        raise InputError(
            path,
            f"#{index} selects a volume of a 4-D file",
            "this is supported for NIfTI only; convert it",
        )
    file = open_itk_file(path)
    shape, affine = _volume_shape(path, file.shape, None), file.affine
    if not file.directed:
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        affine = _as_stored(path, sizes, geometry, "does not say where")
    _check_axes(path, affine)
    return VolumeHeader(shape, affine, file.values)


def _volume_shape(path: str, shape: tuple[int, ...], index: int | None) -> tuple[int, int, int]:
    """The shape of one volume in an array of this shape."""
    if index is None and len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != (3 if index is None else 4):
        needed = (
            "name a volume of 3, or one of a 4-D file as file.nii.gz#0"
            if index is None
            else f"#{index} selects a volume of a 4-D file"
        )
        raise InputError(path, f"has {len(shape)} dimensions", needed)
    if index is not None and index >= shape[3]:
        raise InputError(
            path, f"has {shape[3]} volumes, number {index} does not exist", "they count from 0"
        )
    if min(shape[:3]) < 1 or int(np.prod(shape[:3], dtype=object)) > MOST_VOXELS:
        raise InputError(path, f"its header gives {' × '.join(map(str, shape[:3]))} voxels", AGAIN)
    return shape[:3]


def _check_file_size(image: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise ``UserError`` if a header gives more values than its file can hold: their memory would
    be allocated before the file proves to be too short."""
    file = image.file_map["image"].filename
    ratio = next((n for suffix, n in LARGEST_RATIO.items() if file.lower().endswith(suffix)), 1)
    if not ratio:
        return
    bytes_needed = math.prod(shape) * dtype.itemsize
    if bytes_needed > ratio * Path(file).stat().st_size:
        raise InputError(
            file,
            f"cannot be read: its header gives {' × '.join(map(str, shape))} voxels, more than the "
            "file can hold",
            AGAIN,
        )


def _affine(
    path: str, image: Any, shape: tuple[int, int, int], geometry: Geometry
) -> NDArray[np.float64]:
    """The affine in a header, or the one that ``geometry`` selects if it is ambiguous."""
    header = _stored_header(image)
    if isinstance(image, nib.MGHImage):
        known, voxel_mm = _mgh_geometry(image)
        if not known:
            return _as_stored(path, voxel_mm, geometry, "does not say where")
    if not isinstance(image, nib.AnalyzeImage):
        return np.asarray(image.affine, np.float64)
    voxel_mm = header["pixdim"][1:4]
    if not isinstance(image, nib.Nifti1Pair):
        return _as_stored(path, voxel_mm, geometry, "is an Analyze file, which does not say where")
    sform, qform = (header.get_sform(coded=True), _qform(header))
    stated = {name: a for name, (a, code) in {"sform": sform, "qform": qform}.items() if code}
    if not stated:
        return _as_stored(path, voxel_mm, geometry, "has neither sform nor qform, which say where")
    if len(stated) == 2:
        one, other = stated.values()
        if other is None or not same_grid(shape, one, shape, other, AGREEMENT_MM):
            if geometry not in stated:
                raise InputError(
                    path,
                    f"sform and qform of its header disagree ({_apart(shape, one, other)})",
                    "write the right one as both (in a workflow, cohort.geometry: sform or qform "
                    "says which is right)",
                )
            stated = {geometry: stated[geometry]}
    affine = next(iter(stated.values()))
    if affine is None:
        _check_sizes(path, voxel_mm)
        raise InputError(path, "the qform of its header is invalid", "write a valid one")
    return np.asarray(affine, np.float64)


def _stored_header(image: Any) -> Any:
    """The header as stored in the file: nibabel replaces a voxel size of 0 by 1."""
    if not isinstance(image, nib.AnalyzeImage):
        return image.header
    holder = image.file_map.get("header", image.file_map["image"])
    with holder.get_prepare_fileobj("rb") as file:
        return image.header_class.from_fileobj(file, check=False)


def _mgh_geometry(image: Any) -> tuple[bool, NDArray[np.float64]]:
    """Whether a FreeSurfer file defines the orientation of its axes, and its voxel size (mm);
    otherwise nibabel uses default axes."""
    with image.file_map["image"].get_prepare_fileobj("rb") as file:
        head = file.read(42)
    (known,), voxel_mm = struct.unpack(">h", head[28:30]), struct.unpack(">3f", head[30:42])
    return bool(known), np.array(voxel_mm, np.float64)


def _qform(header: Any) -> tuple[NDArray | None, int]:
    """The qform with its code; no affine if a voxel size is not positive, or the quaternion is no
    rotation."""
    code = int(header["qform_code"])
    if not code or not _are_sizes(header["pixdim"][1:4]):
        return None, code
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1  # 0 means 1
    try:
        return header.get_qform(coded=False), code
    except UNREADABLE:
        return None, code


def _apart(shape: tuple[int, int, int], one: NDArray, other: NDArray | None) -> str:
    """The difference of two affines of a volume, in words."""
    if other is None:
        return "the qform is invalid"
    middle = np.append((np.array(shape) - 1) / 2, 1)
    apart = np.linalg.norm((one @ middle - other @ middle)[:3])
    return f"the middle of the volume is {apart:.1f} mm apart, or turned"


def _as_stored(path: str, voxel_mm: NDArray, geometry: Geometry, lack: str) -> NDArray[np.float64]:
    """The affine of an array whose axes point right, to the front and up, for a file without
    one."""
    if geometry != "as_stored":
        raise InputError(
            path,
            f"{lack} left and right are",
            "convert the original images again (in a workflow, cohort.geometry: as_stored says "
            "that the array's axes point right, to the front and up)",
        )
    _check_sizes(path, voxel_mm)
    return np.diag([*np.asarray(voxel_mm, np.float64), 1.0])


def _check_sizes(path: str, voxel_mm: NDArray) -> None:
    """Raise ``UserError`` if a voxel size is not positive."""
    if not _are_sizes(voxel_mm):
        sizes = ", ".join(f"{size:g}" for size in voxel_mm)
        raise InputError(path, f"its header gives voxels of {sizes} mm", "write valid sizes")


def _are_sizes(voxel_mm: NDArray) -> bool:
    sizes = np.asarray(voxel_mm, float)
    return bool(np.isfinite(sizes).all() and sizes.min() > 0)


def _check_axes(path: str, affine: NDArray) -> None:
    """Raise ``UserError`` for implausible voxel sizes, as in a header that counts metres, and for
    axes that are not at right angles."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or spacing.min() < 1e-3:
        raise InputError(path, "its header gives no voxel size", "write a valid affine")
    if not SMALLEST_MM <= spacing.min() <= spacing.max() <= LARGEST_MM:
        sizes = " × ".join(f"{size:g}" for size in spacing)
        raise InputError(
            path,
            f"its header gives voxels of {sizes} mm, but a head has {SMALLEST_MM} to {LARGEST_MM}",
            "write it in millimetres",
        )
    axes = affine[:3, :3] / spacing
    if np.abs(axes.T @ axes - np.eye(3)).max() > 0.02:
        raise InputError(path, "its voxel axes are sheared", "resample it to axes at right angles")


def load_volume(
    reference: str | Path, geometry: Geometry = ASK
) -> tuple[NDArray, NDArray[np.float64]]:
    """Read a volume (X, Y, Z) and its affine (4 × 4, voxel to mm, RAS+).

    ``path#k`` reads the k-th volume of a 4-D file. Raises ``UserError`` as ``read_header`` does,
    and for values that are damaged or truncated.
    """
    header = read_header(reference, geometry)
    with _reading(split_index(reference)[0]):
        return header.values().reshape(header.shape), header.affine


def load_volumes(
    references: Iterable[str], geometry: Geometry = ASK
) -> Iterator[tuple[str, NDArray, NDArray[np.float64]]]:
    """Each volume with its reference and affine, as read by ``load_volume``; a 4-D file with
    several of them is unpacked once."""
    by_file: dict[str, list[str]] = {}
    for reference in references:
        by_file.setdefault(split_index(reference)[0], []).append(reference)
    for path, wanted in by_file.items():
        if len(wanted) == 1:
            yield wanted[0], *load_volume(wanted[0], geometry)
            continue
        headers = {reference: read_header(reference, geometry) for reference in wanted}
        with _reading(path):
            everything = np.asarray(nib.load(path).dataobj)
        for reference, header in headers.items():
            yield reference, everything[..., split_index(reference)[1]], header.affine


def closest_canonical(
    shape: tuple[int, int, int], affine: NDArray
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape and affine of a volume after reordering and flipping its axes to be closest to RAS+."""
    order = nib.io_orientation(affine)
    turned = affine @ nib.orientations.inv_ornt_aff(order, shape)
    sizes = [0, 0, 0]
    for size, axis in zip(shape, order[:, 0].astype(int), strict=True):
        sizes[axis] = size
    return tuple(sizes), turned


def save_nifti(
    array: NDArray, affine: NDArray, path: str | Path, dtype: type | str | None = None
) -> None:
    """Write a volume (X, Y, Z) with its affine (4 × 4, voxel to mm, RAS+) as ``.nii.gz``.

    The gzip header has neither name nor time, so equal volumes give equal files.
    """
    image = nib.Nifti1Image(np.asarray(array, dtype=dtype or array.dtype), affine)
    image.header.set_xyzt_units("mm")
    with (
        staged(path) as temporary,
        open(temporary, "wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())
