"""Rule ``preprocess_patient``: one patient from raw files to the grid of template space."""

import errno
import logging
import os
from pathlib import Path

import pandas as pd
import SimpleITK as sitk

from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.files import UserError, staged, write_json, write_table
from workflow_scripts.common.geometry import same_grid
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import load_volume
from workflow_scripts.common.patients import save_patient, save_tissue
from workflow_scripts.preprocess.align import Aligned, align
from workflow_scripts.preprocess.picture import draw_picture
from workflow_scripts.preprocess.raw_patient import RawPatient, choose_reference, read_raw, row_of
from workflow_scripts.preprocess.regrid import check_tumour, on_grid
from workflow_scripts.preprocess.resample import resample_label
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.tissue import tissue_maps
from workflow_scripts.preprocess.volumes import to_array, to_image


def before_picture(raw: RawPatient, aligned: Aligned) -> tuple:
    """The input of ``draw_picture`` for the raw patient, on the reference's voxels."""
    grid = raw.images[raw.reference].shape, raw.affines[raw.reference]
    target = to_image(raw.images[raw.reference], raw.affines[raw.reference])
    volumes = {}
    for modality, volume in raw.images.items():
        volumes[modality] = volume
        if not same_grid(volume.shape, raw.affines[modality], *grid):
            image, low = to_image(volume, raw.affines[modality]), float(volume.min())
            # In scanner coordinates, so that shifts between modalities are visible.
            resampled = sitk.Resample(image, target, sitk.Transform(), sitk.sitkLinear, low)
            volumes[modality] = to_array(resampled)
    label = raw.label
    if not same_grid(label.shape, raw.label_affine, *grid):
        drawn = aligned.to_modality[raw.label_frame]
        label = resample_label(label, raw.label_affine, target, drawn)
    return "before", volumes, aligned.brain, label, target.GetSpacing()


def save_transform(transform: sitk.Transform, path: Path) -> None:
    """Write a transform as ITK's text; raises ``OSError`` where the disk is full, which SimpleITK
    passes over."""
    with staged(path) as temporary:
        sitk.WriteTransform(transform, str(temporary))
        if not _holds(temporary, transform):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _holds(path: Path, transform: sitk.Transform) -> bool:
    """Whether a file holds a transform whole."""
    try:
        written = sitk.ReadTransform(str(path))
    except RuntimeError:  # an empty file
        return False
    return written.GetParameters() == transform.GetParameters()


def write_transforms(folder: Path, raw: RawPatient, aligned: Aligned, row: dict) -> None:
    """Write the transforms; the raw reference's voxels and affine, which predictions need to return
    to native space; the modality that the label was drawn on; the overlap of brain and template;
    the similarity of the modalities; and warnings."""
    save_transform(aligned.to_reference, folder / "to_template.tfm")
    for modality, transform in aligned.to_modality.items():
        save_transform(transform, folder / f"{modality}_to_reference.tfm")
    array, affine = load_volume(row[raw.reference], row["geometry"])
    native = {
        "reference": raw.reference,
        "label_frame": raw.label_frame,
        "file": row[raw.reference],
        "shape": list(array.shape),
        "affine": affine.tolist(),
        "template_overlap": aligned.overlap,
        "similarity": aligned.similarity,
        "warnings": [{"problem": what, "remedy": remedy} for what, remedy in aligned.warnings],
    }
    write_json(native, folder / "native.json")


def main(snakemake) -> None:
    params = snakemake.params
    # With several threads SimpleITK's sums depend on the order in which they end.
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
    tissue = tissue_maps(image, brain, label, grid)
    save_tissue(folder, tissue)
    attributes = tumour_attributes(label, grid.affine, brain)
    write_table(pd.DataFrame([{"patient_id": patient, **attributes}]), snakemake.output.attributes)
    write_transforms(folder, raw, aligned, row)
    after = dict(zip(params.modalities, image, strict=True))
    stages = [before_picture(raw, aligned), ("after", after, brain, label, grid.spacing_mm)]
    title = "\n".join([patient, *(f"{what}; {remedy}" for what, remedy in aligned.warnings)])
    draw_picture(snakemake.output.picture, title, stages, tissue)
    logging.info("tumour of %.1f mL in template space", attributes["volume_ml"])


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
