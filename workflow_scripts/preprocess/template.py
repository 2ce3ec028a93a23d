"""The MNI152 template at 1 mm, as nilearn ships it: skull-stripped T1."""

import functools
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from workflow_scripts.common.nifti import load_nifti
from workflow_scripts.preprocess.volumes import to_image

FILE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


@functools.cache
def load_template() -> tuple[sitk.Image, sitk.Image]:
    """The T1 template and its brain mask."""
    # nilearn itself is not imported: that alone takes seconds.
    folder = Path(find_spec("nilearn").submodule_search_locations[0], "datasets", "data")
    array, affine, _ = load_nifti(folder / FILE)
    volume = array.astype(np.float32)
    return to_image(volume, affine), to_image((volume > 0).astype(np.uint8), affine)
