"""Label maps on the voxels of the patient's own image: from template space, and as drawn."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.files import read_json
from workflow_scripts.common.geometry import ASK, Geometry, same_grid
from workflow_scripts.common.labels import canonical
from workflow_scripts.preprocess.resample import resample_label
from workflow_scripts.preprocess.volumes import canonical_volume, to_image


def to_native(
    label: NDArray[np.uint8],
    affine: NDArray,
    native_json: str | Path,
    to_template: str | Path,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A label map (X, Y, Z) on the template grid with its affine, on the raw reference's voxels.

    ``native_json`` and ``to_template`` were written by ``preprocess_patient``. Returns the map
    and the affine of the raw reference file, in its own orientation.
    """
    native = read_json(native_json)
    native_affine = np.array(native["affine"])
    target = to_image(np.zeros(native["shape"], np.uint8), native_affine)
    transform = sitk.ReadTransform(str(to_template)).GetInverse()
    return resample_label(label, affine, target, transform), native_affine


def drawn_label(
    label_file: str,
    scheme: str,
    folder: str | Path,
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    geometry: Geometry = ASK,
) -> NDArray[np.uint8]:
    """A patient's label as drawn, in canonical values, on the raw reference's voxels.

    ``label_file`` is from ``participants.tsv``, with its label scheme; ``geometry`` resolves an
    ambiguous header. ``shape`` and ``affine`` are the reference's with axes closest to RAS+. A
    label on these voxels is not changed. Any other label is resampled with the transform of the
    modality that it was drawn on; ``folder`` is the preprocessed patient's, with the name and
    transform of this modality.
    """
    raw, label_affine = canonical_volume(label_file, geometry)
    label = canonical(raw, scheme, label_file)
    if same_grid(label.shape, label_affine, shape, affine):
        return label
    folder = Path(folder)
    frame = read_json(folder / "native.json")["label_frame"]
    transform = sitk.ReadTransform(str(folder / f"{frame}_to_reference.tfm"))
    target = to_image(np.zeros(shape, np.uint8), affine)
    return resample_label(label, label_affine, target, transform)
