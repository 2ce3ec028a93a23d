"""Resampling of a patient to the template grid, once from the raw voxels."""

import logging

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError
from workflow_scripts.common.grid import Grid
from workflow_scripts.preprocess.align import Aligned
from workflow_scripts.preprocess.normalise import correct_bias, normalise
from workflow_scripts.preprocess.raw_patient import RawPatient
from workflow_scripts.preprocess.resample import resample_image, resample_label, resample_mask
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.volumes import grid_image, to_image


def on_grid(
    raw: RawPatient, aligned: Aligned, grid: Grid, settings: PreprocessSettings
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Normalised images (M, X, Y, Z), label and brain (X, Y, Z), resampled once from raw voxels."""
    target = grid_image(grid)
    reference_affine = raw.affines[raw.reference]
    brain = resample_mask(aligned.brain, reference_affine, target, aligned.to_reference)
    if not brain.any():
        raise UserError("the brain lies outside the grid: its mask or its affine must be wrong")
    images = []
    for modality, volume in raw.images.items():
        image = to_image(volume, raw.affines[modality])
        # The transform added last is applied first: template to reference, then to modality.
        chain = sitk.CompositeTransform([aligned.to_modality[modality], aligned.to_reference])
        if settings.n4:
            mask = to_image(aligned.brain.astype(np.uint8), reference_affine)
            back = aligned.to_modality[modality].GetInverse()
            image = correct_bias(image, sitk.Resample(mask, image, back, sitk.sitkNearestNeighbor))
        on_target = resample_image(image, target, chain)
        try:
            images.append(normalise(on_target, brain, settings.percentiles))
        except UserError as error:
            raise UserError(f"{modality} {error}") from None
    chain = sitk.CompositeTransform([aligned.to_modality[raw.label_frame], aligned.to_reference])
    label = resample_label(raw.label, raw.label_affine, target, chain)
    return np.stack(images), label, brain


def check_tumour(
    raw: RawPatient, aligned: Aligned, label: NDArray, brain: NDArray, grid: Grid, where: str
) -> None:
    """Raise ``UserError`` if the tumour was lost in resampling, or lies outside the brain;
    ``where`` names the label's file."""
    voxel_ml = abs(np.linalg.det(raw.label_affine[:3, :3])) / 1000
    matrix = np.reshape(aligned.to_reference.GetMatrix(), (3, 3))
    expected = np.count_nonzero(raw.label) * voxel_ml / abs(np.linalg.det(matrix))
    kept = np.count_nonzero(label) * grid.voxel_ml
    if kept < 0.5 * expected:
        raise UserError(
            f"{where}: of a tumour of {expected:.2f} mL {kept:.2f} mL are left on the grid of "
            f"{grid.shape} voxels of {grid.spacing_mm} mm; make it finer or larger, check that "
            f"the label is aligned with the image, or add the patient to cohort.exclude"
        )
    inside = np.count_nonzero(brain & (label > 0)) / np.count_nonzero(label)
    if inside < 0.1:
        raise UserError(
            f"{where}: the tumour lies outside the brain; check that the label's affine is that "
            f"of its image, and the brain mask (preprocess.skull_strip)"
        )
    if inside < 0.8 or kept < 0.8 * expected:
        logging.warning(
            "%s: %.0f %% of the tumour is inside the brain mask, %.0f %% on the grid; check the "
            "patient's picture", where, 100 * inside, 100 * kept / expected,
        )  # fmt: skip
