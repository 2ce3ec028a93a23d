"""Rule ``preprocess_patient``: one patient from raw files to the grid of template space."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.files import UserError, staged, write_json, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import canonical
from workflow_scripts.common.nifti import load_nifti
from workflow_scripts.common.patients import save_patient
from workflow_scripts.preprocess.normalise import correct_bias, normalise
from workflow_scripts.preprocess.picture import draw_picture
from workflow_scripts.preprocess.registration import register_rigid, register_to_template
from workflow_scripts.preprocess.resample import resample_image, resample_label, resample_mask
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.skull_strip import command_mask, deepbet_mask, stripped_mask
from workflow_scripts.preprocess.template import load_template
from workflow_scripts.preprocess.volumes import (
    canonical_volume,
    grid_image,
    same_grid,
    to_array,
    to_image,
)

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Raw:
    """A patient's files as read: images by modality with their affines, and labels (X, Y, Z)."""

    images: dict[str, NDArray[np.float32]]
    affines: dict[str, NDArray[np.float64]]
    label: NDArray[np.uint8]
    label_affine: NDArray[np.float64]
    reference: str


@dataclass(frozen=True)
class Aligned:
    """Transforms (mm): template to reference, and reference to each modality; the brain mask
    on the reference's voxels."""

    to_reference: sitk.Transform
    to_modality: dict[str, sitk.Transform]
    brain: NDArray[np.bool_]


def choose_reference(modalities: list[str], wanted: str) -> str:
    """The modality that the others are registered to, and whose frame the label is in."""
    if wanted == "auto":
        return next((m for m in ("t1ce", "t1") if m in modalities), modalities[0])
    if wanted not in modalities:
        raise UserError(
            f"preprocess.reference: '{wanted}' is none of the modalities {', '.join(modalities)}"
        )
    return wanted


def read_raw(patient: str, row: dict, modalities: list[str], reference: str) -> Raw:
    """Read the files that a patient's row names. Raises ``UserError`` naming file and fault."""
    images, affines = {}, {}
    for modality in modalities:
        images[modality], affines[modality] = canonical_volume(row[modality])
        if images[modality].min() == images[modality].max():
            raise UserError(f"{patient}: {row[modality]}: is constant, an image was expected")
    raw_label, label_affine = canonical_volume(row["label"])
    label = canonical(raw_label, row["label_scheme"], f"{patient}: {row['label']}")
    return Raw(images, affines, label, label_affine, reference)


def find_brain(raw: Raw, settings: PreprocessSettings, row: dict) -> tuple[NDArray[np.bool_], bool]:
    """Brain mask on the reference's voxels, and whether the volume had been stripped before."""
    volume, affine = raw.images[raw.reference], raw.affines[raw.reference]
    stripped = stripped_mask(volume, affine)
    way = settings.skull_strip
    if way == "auto":
        way = "none" if stripped is not None else "deepbet"
    if way == "none":
        everything = np.ones(volume.shape, bool)
        return (stripped if stripped is not None else everything), stripped is not None
    if way == "given":
        if not row.get("brain_mask"):
            raise UserError("preprocess.skull_strip: 'given' needs a brain_mask for each patient")
        mask, mask_affine = canonical_volume(row["brain_mask"])
        target = to_image(volume, affine)
        return resample_mask(mask > 0, mask_affine, target, sitk.Transform()), False
    mask = deepbet_mask(volume, affine) if way == "deepbet" else command_mask(way, volume, affine)
    return mask, False


def align(raw: Raw, settings: PreprocessSettings, row: dict) -> Aligned:
    """Register the modalities to the reference, and the reference to the template."""
    brain, stripped = find_brain(raw, settings, row)
    reference = to_image(raw.images[raw.reference], raw.affines[raw.reference])
    to_modality: dict[str, sitk.Transform] = {}
    for modality, volume in raw.images.items():
        image = to_image(volume, raw.affines[modality])
        aligned = stripped and same_grid(image, reference)
        skip = settings.coregister == "never" or (settings.coregister == "auto" and aligned)
        if modality == raw.reference or skip:
            to_modality[modality] = sitk.Euler3DTransform()
        else:
            to_modality[modality] = register_rigid(reference, image)
    mask = to_image(brain.astype(np.uint8), raw.affines[raw.reference])
    low = float(raw.images[raw.reference][brain].min())
    inside = np.where(brain, raw.images[raw.reference] - low, 0).astype(np.float32)
    bare = to_image(inside, raw.affines[raw.reference])
    template, template_mask = load_template()
    found = register_to_template(template, template_mask, bare, mask, settings.template)
    return Aligned(found, to_modality, brain)


def on_grid(
    raw: Raw, aligned: Aligned, grid: Grid, settings: PreprocessSettings
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Images (M, X, Y, Z) normalised, label and brain (X, Y, Z), resampled once from raw voxels."""
    target = grid_image(grid)
    reference_affine = raw.affines[raw.reference]
    brain = resample_mask(aligned.brain, reference_affine, target, aligned.to_reference)
    images = []
    for modality, volume in raw.images.items():
        image = to_image(volume, raw.affines[modality])
        # The transform added last is applied first: template to reference, then to modality.
        chain = sitk.CompositeTransform([aligned.to_modality[modality], aligned.to_reference])
        if settings.n4:
            mask = to_image(aligned.brain.astype(np.uint8), reference_affine)
            back = aligned.to_modality[modality].GetInverse()
            image = correct_bias(image, sitk.Resample(mask, image, back, sitk.sitkNearestNeighbor))
        images.append(normalise(resample_image(image, target, chain), brain, settings.percentiles))
    label = resample_label(raw.label, raw.label_affine, target, aligned.to_reference)
    return np.stack(images), label, brain


def check_tumour(patient: str, raw: Raw, label: NDArray[np.uint8], grid: Grid) -> None:
    """Raise ``UserError`` where the tumour was lost on the way to the grid."""
    voxel_ml = abs(np.linalg.det(raw.label_affine[:3, :3])) / 1000
    before = (raw.label > 0).sum() * voxel_ml
    if before == 0:
        raise UserError(f"{patient}: the label map has no tumour; leave the patient out")
    if not label.any():
        raise UserError(
            f"{patient}: the tumour of {before:.2f} mL is lost on a grid of {grid.spacing_mm} mm; "
            "choose a finer or larger grid, or leave the patient out"
        )


def before_picture(raw: Raw, aligned: Aligned) -> tuple:
    """What ``draw_picture`` needs of the raw patient, on the reference's voxels."""
    affine = raw.affines[raw.reference]
    target = to_image(raw.images[raw.reference], affine)
    volumes = {}
    for modality, volume in raw.images.items():
        image = to_image(volume, raw.affines[modality])
        # As the scanner placed them, so that a shift between modalities is seen.
        found = sitk.Resample(image, target, sitk.Transform(), sitk.sitkLinear, float(volume.min()))
        volumes[modality] = to_array(found)
    label = resample_label(raw.label, raw.label_affine, target, sitk.Transform())
    return "before", volumes, aligned.brain, label, target.GetSpacing()


def main(snakemake) -> None:
    params = snakemake.params
    # SimpleITK sums in the order in which threads end.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    settings = PreprocessSettings.model_validate(params.settings)
    patient, grid = snakemake.wildcards.patient, Grid.from_settings(params.grid)
    reference = choose_reference(params.modalities, settings.reference)
    raw = read_raw(patient, params.row, params.modalities, reference)
    aligned = align(raw, settings, params.row)
    image, label, brain = on_grid(raw, aligned, grid, settings)
    check_tumour(patient, raw, label, grid)
    folder = Path(snakemake.output.image).parent
    save_patient(folder, image, label, brain, grid.affine, params.modalities)
    attributes = tumour_attributes(label, grid.affine, brain)
    write_table(pd.DataFrame([{"patient_id": patient, **attributes}]), snakemake.output.attributes)
    write_transforms(folder, raw, aligned, params.row)
    after = dict(zip(params.modalities, image, strict=True))
    stages = [before_picture(raw, aligned), ("after", after, brain, label, grid.spacing_mm)]
    draw_picture(snakemake.output.picture, patient, stages)
    LOG.info("%s: tumour of %.1f mL in template space", patient, attributes["volume_ml"])


def write_transforms(folder: Path, raw: Raw, aligned: Aligned, row: dict) -> None:
    """Write the transforms, and the raw reference's own voxels and affine, as predictions need
    them on their way back."""
    with staged(folder / "to_template.tfm") as temporary:
        sitk.WriteTransform(aligned.to_reference, str(temporary))
    for modality, transform in aligned.to_modality.items():
        with staged(folder / f"{modality}_to_reference.tfm") as temporary:
            sitk.WriteTransform(transform, str(temporary))
    array, affine, _ = load_nifti(row[raw.reference])
    native = {
        "reference": raw.reference,
        "file": row[raw.reference],
        "shape": list(array.shape),
        "affine": affine.tolist(),
    }
    write_json(native, folder / "native.json")


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
