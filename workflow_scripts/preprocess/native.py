"""Label maps of template space, carried back to the patient's own image."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.files import read_json
from workflow_scripts.preprocess.resample import resample_label
from workflow_scripts.preprocess.volumes import to_image


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
