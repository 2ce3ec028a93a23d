"""MetaImage and NRRD volumes, as SimpleITK reads them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import InputError

# The remedy for a damaged file.
AGAIN = "copy or convert it again"
SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
# A MetaImage's header is text, and ends with the name of its data file.
LONGEST_HEADER = 16384
# The header line with the orientation of the axes; in NRRD it names the space.
META_DIRECTION = re.compile(rb"^(TransformMatrix|Rotation|Orientation) *=", re.MULTILINE)
NRRD_DIRECTION = re.compile(
    rb"^space: *((left|right)-(anterior|posterior)-(superior|inferior)|[lr][ap][si])",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True)
class ItkFile:
    """One volume: its shape (X, Y, Z), the affine (4 × 4, voxel to mm, RAS+) of its header, and
    whether the header states how the axes lie."""

    path: str
    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    directed: bool

    def values(self) -> NDArray:
        """The array (X, Y, Z). Raises ``UserError`` for values that cannot be read."""
        import SimpleITK as sitk

        try:
            image = sitk.ReadImage(self.path)
        except RuntimeError as error:
            raise InputError(self.path, f"cannot be read ({_reason(error)})", AGAIN) from None
        return sitk.GetArrayFromImage(image).transpose()


def open_itk_file(path: str | Path) -> ItkFile:
    """Read a header. Raises ``UserError`` for a file that cannot be read, colours, or complex
    numbers."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(path, f"cannot be read ({_reason(error)})", AGAIN) from None
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise InputError(path, "holds complex numbers", "write their magnitude")
    if reader.GetNumberOfComponents() > 1:
        raise InputError(path, "holds colours or vectors", "write one number per voxel")
    shape, affine = reader.GetSize(), np.eye(4)
    if len(shape) != 3:
        raise InputError(path, f"has {len(shape)} dimensions", "name a volume of 3")
    direction = np.reshape(reader.GetDirection(), (3, 3))
    # ITK's axes point left and to the back (LPS).
    affine[:3, :3] = np.diag([-1, -1, 1]) @ direction * reader.GetSpacing()
    affine[:3, 3] = np.diag([-1, -1, 1]) @ reader.GetOrigin()
    with open(path, "rb") as file:
        head = file.read(LONGEST_HEADER)
    line = NRRD_DIRECTION if head.startswith(b"NRRD") else META_DIRECTION
    return ItkFile(str(path), tuple(shape), affine, bool(line.search(head)))


def _reason(error: RuntimeError) -> str:
    """The last line of ITK's message, without addresses."""
    return str(error).strip().splitlines()[-1].split("): ")[-1]
