"""Task01_BrainTumour of the Medical Segmentation Decathlon."""

import re
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.cohort.patient_files import Case, cohort_folder
from workflow_scripts.common.files import UserError, read_json

MODALITIES = {"flair": "flair", "t1w": "t1", "t1gd": "t1ce", "t2w": "t2"}


def msd_cases(root: str | Path, modalities: Sequence[str]) -> list[Case]:
    """Cases in the training part of Task01_BrainTumour, as ``dataset.json`` lists them.

    Images are 4-D: a modality is the volume ``path#k`` whose number ``dataset.json`` has. Raises
    ``UserError`` for a listing that is missing or cannot be read, that lacks one of the
    ``modalities``, or whose files lie outside its folder.
    """
    folder = cohort_folder(root)
    if not (folder / "dataset.json").is_file() and (folder / "Task01_BrainTumour").is_dir():
        folder = folder / "Task01_BrainTumour"
    listing = folder / "dataset.json"
    if not listing.is_file():
        raise UserError(f"cohort.root: {root} has no dataset.json, as Task01_BrainTumour does")
    try:
        content = read_json(listing)
        named = {MODALITIES.get(v.lower(), v): int(k) for k, v in content["modality"].items()}
        entries = [
            [(folder / entry[kind]) for kind in ("image", "label")] for entry in content["training"]
        ]
        outside = [path for paths in entries for path in paths if not _is_inside(path, folder)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{listing}: cannot be read as a Decathlon listing, with 'modality' and 'training' "
            f"({type(error).__name__}: {error})"
        ) from error
    if len(named) < len(content["modality"]):
        raise UserError(f"{listing}: names a modality twice; keep one of them")
    missing = [m for m in modalities if m not in named]
    if missing:
        raise UserError(
            f"{listing}: has no {', '.join(missing)}; its modalities are {', '.join(named)}"
        )
    if outside:
        raise UserError(f"{listing}: {outside[0]} lies outside {folder}")
    if not entries:
        raise UserError(f"{listing}: names no case in 'training'")
    cases = []
    for image, label in entries:
        name = re.sub(r"\.nii(\.gz)?$", "", image.name)
        images = {m: f"{image}#{named[m]}" for m in modalities}
        cases.append(Case(name, images, str(label), "msd"))
    return cases


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
