"""The raw files of a patient, with the frame in which the label was drawn."""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError
from workflow_scripts.common.geometry import ASK, same_grid
from workflow_scripts.common.labels import canonical
from workflow_scripts.common.modalities import reference_modality
from workflow_scripts.preprocess.volumes import canonical_volume


@dataclass(frozen=True)
class RawPatient:
    """The raw volumes of a patient: images by modality with their affines, and labels (X, Y, Z),
    which were drawn in the frame of the modality ``label_frame``."""

    images: dict[str, NDArray[np.float32]]
    affines: dict[str, NDArray[np.float64]]
    label: NDArray[np.uint8]
    label_affine: NDArray[np.float64]
    label_frame: str
    reference: str


def row_of(reading: dict, files: dict[str, str]) -> dict:
    """A patient's row as in ``participants.tsv``, with ``file#number`` for 4-D files, and the
    ``geometry`` setting for ambiguous headers."""
    places = {
        name: files[name] if part is None else f"{files[name]}#{part}"
        for name, part in reading["parts"].items()
    }
    geometry = reading.get("geometry", ASK)
    return {"label_scheme": reading["label_scheme"], "geometry": geometry, **places}


def choose_reference(modalities: list[str], wanted: str) -> str:
    """The modality that the others are registered to."""
    if wanted == "auto":
        return reference_modality(modalities)
    if wanted not in modalities:
        raise UserError(
            f"preprocess.reference: '{wanted}' is none of the modalities {', '.join(modalities)}"
        )
    return wanted


def read_raw(row: dict, modalities: list[str], reference: str) -> RawPatient:
    """Read the files in a patient's row. Raises ``UserError`` naming file and fault."""
    images, affines, geometry = {}, {}, row.get("geometry", ASK)
    for modality in modalities:
        images[modality], affines[modality] = canonical_volume(row[modality], geometry)
        if images[modality].min() == images[modality].max():
            raise UserError(f"{row[modality]}: is constant, not an image")
    raw_label, label_affine = canonical_volume(row["label"], geometry)
    label = canonical(raw_label, row["label_scheme"], row["label"])
    if not label.any():
        raise UserError(
            f"{row['label']}: the label map has no tumour; add the patient to cohort.exclude"
        )
    grids = {m: (images[m].shape, affines[m]) for m in [reference, *modalities]}
    frame = label_frame(label.shape, label_affine, grids, row["label"])
    return RawPatient(images, affines, label, label_affine, frame, reference)


def label_frame(
    shape: tuple[int, ...], affine: NDArray, grids: dict[str, tuple], where: str
) -> str:
    """The modality on which a label map was drawn: the first of ``grids`` (shape and affine by
    modality, the reference first) with the same voxels; the reference if there is none."""
    for modality, grid in grids.items():
        if same_grid(shape, affine, *grid):
            return modality
    reference = next(iter(grids))
    logging.warning(
        "%s: its voxels are those of no modality; assumed to be aligned with %s", where, reference
    )
    return reference
