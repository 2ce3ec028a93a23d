"""Rule ``preprocess_patient``: one patient from raw files to the grid of template space."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.cohort.modalities import reference_modality
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
from workflow_scripts.preprocess.skull_strip import (
    check_brain,
    command_mask,
    deepbet_mask,
    stripped_mask,
)
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
    """A patient's files as read: images by modality with their affines, and labels (X, Y, Z),
    which were drawn in the frame of the modality ``label_frame``."""

    images: dict[str, NDArray[np.float32]]
    affines: dict[str, NDArray[np.float64]]
    label: NDArray[np.uint8]
    label_affine: NDArray[np.float64]
    label_frame: str
    reference: str


@dataclass(frozen=True)
class Aligned:
    """What each point becomes (mm): template to reference, and reference to each modality, as
    resampling wants them; and the brain mask on the reference's voxels."""

    to_reference: sitk.Transform
    to_modality: dict[str, sitk.Transform]
    brain: NDArray[np.bool_]


def choose_reference(modalities: list[str], wanted: str) -> str:
    """The modality that the others are registered to."""
    if wanted == "auto":
        return reference_modality(modalities)
    if wanted not in modalities:
        raise UserError(
            f"preprocess.reference: '{wanted}' is none of the modalities {', '.join(modalities)}"
        )
    return wanted


def read_raw(row: dict, modalities: list[str], reference: str) -> Raw:
    """Read the files that a patient's row names. Raises ``UserError`` naming file and fault."""
    images, affines = {}, {}
    for modality in modalities:
        images[modality], affines[modality] = canonical_volume(row[modality])
        if images[modality].min() == images[modality].max():
            raise UserError(f"{row[modality]}: is constant, an image was expected")
    raw_label, label_affine = canonical_volume(row["label"])
    label = canonical(raw_label, row["label_scheme"], row["label"])
    if not label.any():
        raise UserError(f"{row['label']}: the label map has no tumour; leave the patient out")
    grids = {m: (images[m].shape, affines[m]) for m in [reference, *modalities]}
    frame = label_frame(label.shape, label_affine, grids, row["label"])
    return Raw(images, affines, label, label_affine, frame, reference)


def label_frame(
    shape: tuple[int, ...], affine: NDArray, grids: dict[str, tuple], where: str
) -> str:
    """The modality that a label map was drawn on: the first of ``grids`` (by modality, shape
    and affine; the reference leads) that has its voxels; the reference where none has."""
    for modality, grid in grids.items():
        if same_grid(shape, affine, *grid):
            return modality
    reference = next(iter(grids))
    LOG.warning("%s: has the voxels of no modality, taken to lie as %s does", where, reference)
    return reference


def find_brain(
    raw: Raw, way: str, row: dict, stripped: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Brain mask on the reference's voxels, by ``preprocess.skull_strip``; ``stripped`` is the
    mask of a volume that was skull-stripped before."""
    volume, affine = raw.images[raw.reference], raw.affines[raw.reference]
    if way == "auto":
        way = "deepbet" if stripped is None else "none"
    LOG.info("brain mask: %s, skull-stripped before: %s", way, stripped is not None)
    if way == "none":
        return np.ones(volume.shape, bool) if stripped is None else stripped
    if way == "deepbet":
        mask = deepbet_mask(volume, affine)
    elif way == "given":
        mask = given_mask(row, to_image(volume, affine))
    else:
        mask = command_mask(way, volume, affine)
    check_brain(mask, affine, way)
    return mask


def given_mask(row: dict, target: sitk.Image) -> NDArray[np.bool_]:
    """The brain mask that the cohort's table names, on the target's voxels."""
    if not row.get("brain_mask"):
        raise UserError(
            "preprocess.skull_strip: given needs a file in the column brain_mask; name one, or "
            "choose auto"
        )
    mask, affine = canonical_volume(row["brain_mask"])
    return resample_mask(mask > 0, affine, target, sitk.Transform())


def align(raw: Raw, settings: PreprocessSettings, row: dict) -> Aligned:
    """Register the modalities to the reference, and the reference to the template."""
    volume, affine = raw.images[raw.reference], raw.affines[raw.reference]
    stripped = stripped_mask(volume, affine)
    brain = find_brain(raw, settings.skull_strip, row, stripped)
    reference = to_image(volume, affine)
    to_modality: dict[str, sitk.Transform] = {}
    for modality, other in raw.images.items():
        aligned = stripped is not None and same_grid(
            other.shape, raw.affines[modality], volume.shape, affine
        )
        skip = settings.coregister == "never" or (settings.coregister == "auto" and aligned)
        if modality == raw.reference or skip:
            to_modality[modality] = sitk.Euler3DTransform()
        else:
            moving = to_image(other, raw.affines[modality])
            to_modality[modality] = register_rigid(reference, moving)
    mask = to_image(brain.astype(np.uint8), affine)
    inside = np.where(brain, volume - volume[brain].min(), 0).astype(np.float32)
    template, template_mask = load_template()
    found = register_to_template(
        template, template_mask, to_image(inside, affine), mask, settings.template
    )
    return Aligned(found, to_modality, brain)


def on_grid(
    raw: Raw, aligned: Aligned, grid: Grid, settings: PreprocessSettings
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Images (M, X, Y, Z) normalised, label and brain (X, Y, Z), resampled once from raw voxels."""
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
        images.append(normalise(resample_image(image, target, chain), brain, settings.percentiles))
    chain = sitk.CompositeTransform([aligned.to_modality[raw.label_frame], aligned.to_reference])
    label = resample_label(raw.label, raw.label_affine, target, chain)
    return np.stack(images), label, brain


def check_tumour(
    raw: Raw, aligned: Aligned, label: NDArray, brain: NDArray, grid: Grid, where: str
) -> None:
    """Raise ``UserError`` where the tumour was lost on the way to the grid, or lies elsewhere
    than the brain; ``where`` names the label's file."""
    voxel_ml = abs(np.linalg.det(raw.label_affine[:3, :3])) / 1000
    matrix = np.reshape(aligned.to_reference.GetMatrix(), (3, 3))
    expected = np.count_nonzero(raw.label) * voxel_ml / abs(np.linalg.det(matrix))
    kept = np.count_nonzero(label) * grid.voxel_ml
    if kept < 0.5 * expected:
        raise UserError(
            f"{where}: of a tumour of {expected:.2f} mL {kept:.2f} mL are left on the grid of "
            f"{grid.shape} voxels of {grid.spacing_mm} mm; make it finer or larger, see that the "
            "label lies on the image, or leave the patient out"
        )
    inside = np.count_nonzero(brain & (label > 0)) / np.count_nonzero(label)
    if inside < 0.1:
        raise UserError(
            f"{where}: the tumour lies outside the brain; see that the label's affine is that of "
            "its image, and that the brain mask (preprocess.skull_strip) is right"
        )
    if inside < 0.8 or kept < 0.8 * expected:
        LOG.warning(
            "%s: %.0f %% of the tumour lie inside the brain mask, %.0f %% on the grid; look at "
            "the picture", where, 100 * inside, 100 * kept / expected,
        )  # fmt: skip


def before_picture(raw: Raw, aligned: Aligned) -> tuple:
    """What ``draw_picture`` needs of the raw patient, on the reference's voxels."""
    grid = raw.images[raw.reference].shape, raw.affines[raw.reference]
    target = to_image(raw.images[raw.reference], raw.affines[raw.reference])
    volumes = {}
    for modality, volume in raw.images.items():
        volumes[modality] = volume
        if not same_grid(volume.shape, raw.affines[modality], *grid):
            image, low = to_image(volume, raw.affines[modality]), float(volume.min())
            # As the scanner placed them, so that a shift between modalities is seen.
            found = sitk.Resample(image, target, sitk.Transform(), sitk.sitkLinear, low)
            volumes[modality] = to_array(found)
    label = raw.label
    if not same_grid(label.shape, raw.label_affine, *grid):
        drawn = aligned.to_modality[raw.label_frame]
        label = resample_label(label, raw.label_affine, target, drawn)
    return "before", volumes, aligned.brain, label, target.GetSpacing()


def row_of(reading: dict, files: dict[str, str]) -> dict:
    """A patient's row as ``participants.tsv`` has it: ``file#number`` where a file is 4-D."""
    places = {
        name: f"{files[name]}#{part}" if part else files[name]
        for name, part in reading["parts"].items()
    }
    return {"label_scheme": reading["label_scheme"], **places}


def main(snakemake) -> None:
    params = snakemake.params
    # SimpleITK sums in the order in which threads end.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    settings = PreprocessSettings.model_validate(params.settings)
    patient, grid = snakemake.wildcards.patient, Grid.from_settings(params.grid)
    reference = choose_reference(params.modalities, settings.reference)
    row = row_of(params.reading, dict(snakemake.input.items()))
    try:
        raw = read_raw(row, params.modalities, reference)
        aligned = align(raw, settings, row)
        image, label, brain = on_grid(raw, aligned, grid, settings)
        check_tumour(raw, aligned, label, brain, grid, row["label"])
    except UserError as error:
        raise UserError(f"{patient}: {error}") from error
    folder = Path(snakemake.output.image).parent
    save_patient(folder, image, label, brain, grid.affine, params.modalities)
    attributes = tumour_attributes(label, grid.affine, brain)
    write_table(pd.DataFrame([{"patient_id": patient, **attributes}]), snakemake.output.attributes)
    write_transforms(folder, raw, aligned, row)
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
