"""Predictions of a segmentation network as files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.common.patients import Patient
from workflow_scripts.preprocess.native import to_native


def save_prediction(classes: NDArray, affine: NDArray, patient: Patient, folder: Path) -> None:
    """Write classes (X, Y, Z) of template space, with its ``affine``, as ``label.nii.gz`` and, on
    the voxels of the patient's own image, as ``label_native.nii.gz``."""
    classes = classes.astype(np.uint8)
    save_nifti(classes, affine, folder / "label.nii.gz", np.uint8)
    native, native_affine = to_native(
        classes, affine, patient.folder / "native.json", patient.folder / "to_template.tfm"
    )
    save_nifti(native, native_affine, folder / "label_native.nii.gz", np.uint8)
