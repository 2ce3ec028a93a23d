"""Patients as scripts, which a page opened from disk can load where it may fetch nothing."""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient


def packed(array: NDArray, affine: NDArray[np.float64]) -> str:
    """A volume (X, Y, Z) with its affine (4 × 4, voxel to mm) as base64 of ``.nii.gz``."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    return base64.b64encode(gzip.compress(image.to_bytes(), mtime=0)).decode()


def script(name: str, patient: Patient, affine: NDArray, modalities: list[str], labels: str) -> str:
    """JavaScript that hands the page a patient's modalities, in 256 steps, and classes.

    ``name`` is the patient's name on the page.
    """
    image = np.rint(255 * patient.image().clip(0, 1)).astype(np.uint8)
    volumes = {m: packed(volume, affine) for m, volume in zip(modalities, image, strict=True)}
    volumes["label"] = packed(collapse(patient.label(), labels), affine)
    return f"sbldm.loaded({json.dumps(name)}, {json.dumps(volumes)});\n"


def within(scripts: Iterable[tuple[str, str]], limit: int) -> Iterator[tuple[str, str]]:
    """Names and scripts up to a number of characters in all, but the first two whatever they
    take: without two patients there is nothing to compare."""
    total = 0
    for number, (name, text) in enumerate(scripts):
        total += len(text)
        if total > limit and number >= 2:
            return
        yield name, text
