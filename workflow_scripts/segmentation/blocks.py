"""The network's input and target: standardised blocks of images, and region masks."""

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.labels import collapse, regions
from workflow_scripts.common.patients import Patient


@functools.lru_cache(maxsize=4096)
def foreground_statistics(folder: str | Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (M,) of each modality in the foreground of a patient's folder."""
    patient = Patient(folder)
    inside = np.asarray(patient.foreground_slices) > 0
    values = np.asarray(patient.slices).transpose(1, 0, 2, 3)[:, inside].astype(np.float64)
    return values.mean(1).astype(np.float32), values.std(1).astype(np.float32)


def read_block(
    patient: Patient, start: NDArray[np.int64], size: tuple[int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """A block of ``size`` voxels from voxel ``start``: image (M, X, Y, Z), label, foreground.

    The image has mean 0 and standard deviation 1 in the patient's whole foreground, a mask defined
    in the same way for real and synthetic patients, and is 0 outside it. Voxels outside the volume
    are background. Only the block's slices are read.
    """
    shape = np.array([*patient.slices.shape[2:], len(patient.slices)])
    low, high = np.maximum(start, 0), np.minimum(start + size, shape)
    x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
    before, after = low - start, start + np.array(size) - high
    edges = list(zip(before, after, strict=True))
    image = np.asarray(patient.slices[z, :, x, y]).transpose(1, 2, 3, 0).astype(np.float32)
    label = np.array(patient.label_slices[z, x, y]).transpose(1, 2, 0)
    inside = np.asarray(patient.foreground_slices[z, x, y]).transpose(1, 2, 0) > 0
    mean, deviation = foreground_statistics(str(patient.folder))
    scale = np.maximum(deviation, 1e-3)[:, None, None, None]
    image = (image - mean[:, None, None, None]) / scale * inside
    if before.any() or after.any():
        image, label, inside = (
            np.pad(image, [(0, 0), *edges]),
            *(np.pad(array, edges) for array in (label, inside)),
        )
    return image, label, inside


def whole(patient: Patient) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """The whole volume, in the form of ``read_block``."""
    size = (*patient.slices.shape[2:], len(patient.slices))
    return read_block(patient, np.zeros(3, np.int64), size)


def region_masks(classes: NDArray[np.uint8], labels: str) -> NDArray[np.bool_]:
    """Class values (X, Y, Z) to one mask for each region (R, X, Y, Z); regions overlap."""
    return np.stack([np.isin(classes, values) for values in regions(labels).values()])


def reference_masks(label: NDArray[np.uint8], labels: str) -> NDArray[np.bool_]:
    """A canonical label map (X, Y, Z) to one mask for each region (R, X, Y, Z)."""
    return region_masks(collapse(label, labels), labels)


def masks_to_classes(masks: NDArray[np.bool_], labels: str) -> NDArray[np.uint8]:
    """Region masks (R, X, Y, Z), the largest region first, to class values (X, Y, Z).

    A smaller region overrules a larger one: a voxel in the tumour core is core even if the network
    did not predict tumour there.
    """
    values = list(regions(labels).values())
    result = np.zeros(masks.shape[1:], np.uint8)
    for index, mask in enumerate(masks):
        inner = values[index + 1] if index + 1 < len(values) else ()
        result[mask] = next(value for value in values[index] if value not in inner)
    return result
