"""The MNI152 maps at 1 mm, as nilearn ships them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.nifti import load_volume

FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


def mni152(name: str) -> tuple[NDArray, NDArray[np.float64]]:
    """A map (X, Y, Z) and its affine (4 × 4): ``t1``, skull-stripped, or ``gm``, ``wm``."""
    # nilearn itself is not imported, since that takes seconds.
    folder = Path(find_spec("nilearn").submodule_search_locations[0], "datasets", "data")
    array, affine = load_volume(folder / FILE.format(name))
    return array, affine
