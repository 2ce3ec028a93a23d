"""The registration target: the MNI152 template at 1 mm, skull-stripped T1."""

import functools

import numpy as np
import SimpleITK as sitk

from workflow_scripts.common.mni152 import mni152
from workflow_scripts.preprocess.volumes import to_image


@functools.cache
def load_template() -> tuple[sitk.Image, sitk.Image]:
    """The T1 template and its brain mask."""
    array, affine = mni152("t1")
    volume = array.astype(np.float32)
    return to_image(volume, affine), to_image((volume > 0).astype(np.uint8), affine)
