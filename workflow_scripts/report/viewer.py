"""Patients as scripts, since a page opened from disk may load scripts but not fetch files."""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.labels import class_count, collapse, regions
from workflow_scripts.common.nifti import load_volume
from workflow_scripts.common.patients import Patient
from workflow_scripts.evaluation.slice_figures import REGION_COLOURS
from workflow_scripts.report.failures import Prediction


def packed(array: NDArray, affine: NDArray[np.float64]) -> str:
    """A volume (X, Y, Z) with its affine (4 × 4, voxel to mm) as base64 of ``.nii.gz``."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    return base64.b64encode(gzip.compress(image.to_bytes(), mtime=0)).decode()


def packed_volumes(
    patient: Patient,
    affine: NDArray,
    modalities: list[str],
    labels: str,
    predictions: Sequence[Prediction] = (),
) -> dict[str, str]:
    """A patient's modalities, in 256 steps, classes (``label``) and ``predictions`` by name, each
    packed."""
    image = np.rint(255 * patient.image().clip(0, 1)).astype(np.uint8)
    volumes = {m: packed(volume, affine) for m, volume in zip(modalities, image, strict=True)}
    volumes["label"] = packed(collapse(patient.label(), labels), affine)
    for prediction in predictions:
        volumes[prediction.name] = packed(load_volume(prediction.file)[0].astype(np.uint8), affine)
    return volumes


def script(name: str, volumes: dict[str, str]) -> str:
    """JavaScript that passes a patient's volumes to the page, by the patient's name there."""
    return f"sbldm.loaded({json.dumps(name)}, {json.dumps(volumes)});\n"


def within(scripts: Iterable[tuple[str, str]], limit: int) -> Iterator[tuple[str, str]]:
    """Names and scripts up to a total number of characters, but at least the first two, since a
    comparison needs two patients."""
    total = 0
    for number, (name, text) in enumerate(scripts):
        total += len(text)
        if total > limit and number >= 2:
            return
        yield name, text


def class_colours(labels: str) -> list[str]:
    """The colour of each class value from 1: that of the smallest region that contains it."""
    sizes = sorted(regions(labels).items(), key=lambda item: len(item[1]))
    values = range(1, class_count(labels))
    return [next(REGION_COLOURS[name] for name, held in sizes if v in held) for v in values]
