"""The anatomy of a given brain, read from a folder of images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.cohort.brats import KINDS, NAMES
from workflow_scripts.common.files import UserError
from workflow_scripts.common.geometry import same_grid
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import canonical
from workflow_scripts.preprocess.align import align
from workflow_scripts.preprocess.normalise import normalise
from workflow_scripts.preprocess.raw_patient import RawPatient, choose_reference, label_frame
from workflow_scripts.preprocess.regrid import on_grid
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.skull_strip import stripped_mask
from workflow_scripts.preprocess.tissue import tissue_maps
from workflow_scripts.preprocess.volumes import canonical_volume

SUFFIXES = (".nii.gz", ".nii")


def find_files(folder: Path, modalities: list[str]) -> dict[str, tuple[Path, str]]:
    """The folder's file of each modality, and its ``label`` if there is one, each with the label
    scheme that its name suggests.

    Files are named ``flair.nii.gz``, like a preprocessed patient's, or as in BraTS. Raises
    ``UserError`` for a modality that is missing or duplicated.
    """
    files: dict[str, list[tuple[Path, str]]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        suffix = next((s for s in SUFFIXES if file.name.endswith(s)), None)
        if suffix is None:
            continue
        stem = file.name.removesuffix(suffix)
        if stem in (*modalities, "label"):
            files.setdefault(stem, []).append((file, "brats2023"))
        for scheme, pattern in NAMES.items():
            if match := pattern.fullmatch(file.name):
                files.setdefault(KINDS[scheme][match["kind"]], []).append((file, scheme))
    for name in modalities:
        if name not in files:
            raise UserError(
                f"anatomy: {folder} has no {name}; name a folder with {', '.join(modalities)} as "
                f"{name}.nii.gz or as BraTS names them"
            )
    for name, matches in files.items():
        if len(matches) > 1:
            raise UserError(f"anatomy: {folder} has {name} twice: {matches[0][0]}, {matches[1][0]}")
    return {name: matches[0] for name, matches in files.items()}


@dataclass(frozen=True)
class Brain:
    """A brain on the model's grid: images (M, X, Y, Z), 0 to 1, label and brain mask (X, Y, Z), and
    tissue maps (3, X, Y, Z) without the labelled tumour."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    tissue: NDArray[np.float32]


def read_brain(
    folder: str | Path, modalities: list[str], grid: Grid, settings: PreprocessSettings
) -> Brain:
    """The brain in a folder.

    Images on the model's grid must be skull-stripped and are used unchanged; others are
    preprocessed like a cohort's patient. A labelled tumour is replaced by the tissue of the other
    hemisphere. Raises ``UserError`` for missing or unusable images.
    """
    raw = _read(Path(folder), modalities, settings)
    frames = {m: (raw.images[m].shape, raw.affines[m]) for m in modalities}
    frames["label"] = raw.label.shape, raw.label_affine
    if all(same_grid(*frame, grid.shape, grid.affine) for frame in frames.values()):
        brain = np.zeros(grid.shape, bool)
        for name in modalities:
            mask = stripped_mask(raw.images[name], grid.affine)
            if mask is None:
                raise UserError(
                    f"anatomy: {folder}: {name} is on the model's grid, but not skull-stripped; "
                    f"strip it, or use the original images"
                )
            brain |= mask
        images = (raw.images[name] for name in modalities)
        volume = np.stack([normalise(image, brain, settings.percentiles) for image in images])
        label = raw.label
    else:
        try:
            aligned = align(raw, settings, {})
        except UserError as error:
            raise UserError(f"anatomy: {folder}: {error}") from error
        volume, label, brain = on_grid(raw, aligned, grid, settings)
    return Brain(volume, label, brain, tissue_maps(volume, brain, label, grid))


def _read(folder: Path, modalities: list[str], settings: PreprocessSettings) -> RawPatient:
    """The files of a folder; without a label there is no tumour."""
    files = find_files(folder, modalities)
    images, affines = {}, {}
    for name in modalities:
        images[name], affines[name] = canonical_volume(str(files[name][0]))
        if images[name].min() == images[name].max():
            raise UserError(f"anatomy: {files[name][0]} is constant, not an image")
    reference = choose_reference(modalities, settings.reference)
    label = np.zeros(images[reference].shape, np.uint8)
    label_affine, frame = affines[reference], reference
    if "label" in files:
        path, scheme = files["label"]
        values, label_affine = canonical_volume(str(path))
        label = canonical(values, scheme, str(path))
        shapes = {m: (images[m].shape, affines[m]) for m in [reference, *modalities]}
        frame = label_frame(label.shape, label_affine, shapes, str(path))
    return RawPatient(images, affines, label, label_affine, frame, reference)
