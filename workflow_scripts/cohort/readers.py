"""Cohorts on disk: BraTS folders, the Medical Segmentation Decathlon, tables of files.

Each reader turns its layout into cases; ``inspect_cases`` then checks every file of every case
before a second is spent on training.
"""

import difflib
import logging
import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.cohort.modalities import MODALITIES, reference_modality
from workflow_scripts.common.files import UserError, read_json, read_table
from workflow_scripts.common.labels import canonical
from workflow_scripts.common.nifti import UNREADABLE, load_nifti, split_index

# A patient's name becomes part of paths: no separators, and no leading dot.
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
BRATS_KINDS = {
    "brats2017": {"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair", "seg": "label"},
    "brats2023": {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair", "seg": "label"},
}
BRATS_NAMES = {
    "brats2017": re.compile(r"(?P<id>.+)_(?P<kind>t1|t1ce|t2|flair|seg)\.nii(\.gz)?"),
    "brats2023": re.compile(r"(?P<id>.+)-(?P<kind>t1n|t1c|t2w|t2f|seg)\.nii(\.gz)?"),
}
MSD_MODALITIES = {"flair": "flair", "t1w": "t1", "t1gd": "t1ce", "t2w": "t2"}
AFFINE_TOLERANCE_MM = 0.1
SHOWN = 10  # patients named in a message


@dataclass(frozen=True)
class Case:
    """The files of one patient; ``path#k`` is the k-th volume of a 4-D file."""

    patient_id: str
    images: dict[str, str]
    label: str
    label_scheme: str
    brain_mask: str = ""
    problems: tuple[str, ...] = field(default=())


def find_cases(
    source: str,
    root: str | None,
    table: str | None,
    label_scheme: str | None,
    modalities: Sequence[str],
) -> list[Case]:
    """List the cases of a ``brats``, ``msd`` or ``table`` cohort, with what is missing in each."""
    if source == "brats":
        return brats_cases(root, modalities)
    if source == "msd":
        return msd_cases(root, modalities)
    return table_cases(table, root, label_scheme, modalities)


def _folder(root: str | Path) -> Path:
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UserError(f"cohort.root: {root} is no folder; name the one that holds the cases")
    return folder


def brats_cases(root: str | Path, modalities: Sequence[str]) -> list[Case]:
    """Cases under ``root``, at any depth, named as in BraTS 2017–2021 or 2023 and later.

    The label scheme follows from the names. Raises ``UserError`` where nothing is found.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    schemes: dict[str, set[str]] = defaultdict(set)
    for folder, _, names in os.walk(_folder(root), followlinks=True):
        for name in names:
            for scheme, pattern in BRATS_NAMES.items():
                match = None if name.startswith(".") else pattern.fullmatch(name)
                if match:
                    kind = BRATS_KINDS[scheme][match["kind"]]
                    found[match["id"]][kind].append(str(Path(folder, name)))
                    schemes[match["id"]].add(scheme)
                    break
    if not found:
        raise UserError(
            f"cohort.root: no BraTS case under {root}; files must be named like "
            "<case>_flair.nii.gz with <case>_seg.nii.gz (2017–2021), or <case>-t2f.nii.gz with "
            "<case>-seg.nii.gz (2023 and later)"
        )
    return [
        _brats_case(name, found[name], sorted(schemes[name]), modalities) for name in sorted(found)
    ]


def _brats_case(
    name: str, kinds: dict[str, list[str]], schemes: list[str], modalities: Sequence[str]
) -> Case:
    missing = [kind for kind in (*modalities, "label") if kind not in kinds]
    problems = [f"has no {kind}" for kind in missing]
    twice = [kind for kind in (*modalities, "label") if len(kinds.get(kind, [])) > 1]
    problems += [f"has {kind} twice: {' and '.join(sorted(kinds[kind])[:2])}" for kind in twice]
    if len(schemes) > 1:
        problems.append("mixes the names of BraTS 2017–2021 with those of 2023")
    files = {kind: sorted(paths)[0] for kind, paths in kinds.items()}
    images = {m: files.get(m, "") for m in modalities}
    return Case(name, images, files.get("label", ""), schemes[0], "", tuple(problems))


def msd_cases(root: str | Path, modalities: Sequence[str]) -> list[Case]:
    """Cases of Task01_BrainTumour: 4-D images, whose order of modalities ``dataset.json`` tells."""
    folder = _folder(root)
    if not (folder / "dataset.json").is_file() and (folder / "Task01_BrainTumour").is_dir():
        folder = folder / "Task01_BrainTumour"
    listing = folder / "dataset.json"
    if not listing.is_file():
        raise UserError(f"cohort.root: {root} has no dataset.json, as Task01_BrainTumour does")
    try:
        content = read_json(listing)
        named = {MSD_MODALITIES.get(v.lower(), v): int(k) for k, v in content["modality"].items()}
        entries = [(entry["image"], entry["label"]) for entry in content["training"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{listing}: cannot be read as a Decathlon listing, with 'modality' and 'training' "
            f"({type(error).__name__}: {error})"
        ) from error
    missing = [m for m in modalities if m not in named]
    if missing:
        raise UserError(
            f"{listing}: has no {', '.join(missing)}; its modalities are {', '.join(named)}"
        )
    cases = []
    for image, label in entries:
        paths = [folder / image, folder / label]
        outside = [p for p in paths if not p.resolve().is_relative_to(folder.resolve())]
        if outside:
            raise UserError(f"{listing}: {outside[0]} lies outside {folder}")
        name = re.sub(r"\.nii(\.gz)?$", "", paths[0].name)
        images = {m: f"{paths[0]}#{named[m]}" for m in modalities}
        cases.append(Case(name, images, str(paths[1]), "msd"))
    return cases


def table_cases(
    table: str | Path, root: str | None, label_scheme: str, modalities: Sequence[str]
) -> list[Case]:
    """Cases of a table with ``patient_id``, a column a modality, ``label``, maybe ``brain_mask``.

    Relative paths start at ``root`` where it is given, else at the table's folder.
    """
    path = Path(table).expanduser()
    if not path.is_file():
        raise UserError(f"cohort.table: {table} does not exist")
    rows = read_table(path)
    required = ["patient_id", *modalities, "label"]
    missing = [column for column in required if column not in rows]
    if missing:
        others = {str(c).lower(): c for c in rows if c not in required}
        near = difflib.get_close_matches(missing[0].lower(), list(others), 1, 0.4)
        hint = f" (is '{others[near[0]]}' meant for '{missing[0]}'?)" if near else ""
        raise UserError(
            f"{path}: no column {', '.join(missing)}{hint}; it needs {', '.join(required)}, "
            "separated by tabs"
        )
    if rows.empty:
        raise UserError(f"{path}: has no rows")
    base = Path(root).expanduser() if root else path.parent
    known = [c for c in ("label", "brain_mask", *MODALITIES) if c in rows]
    rows["patient_id"] = rows["patient_id"].fillna("")
    rows[known] = rows[known].astype(object).fillna("").astype(str)

    def located(value: str) -> str:
        return str(base / value) if value else ""

    cases = []
    for row in rows.to_dict("records"):
        problems = tuple(f"has no {c}" for c in required[1:] if not row[c])
        images = {m: located(row[m]) for m in modalities}
        mask = located(row.get("brain_mask", ""))
        cases.append(
            Case(row["patient_id"], images, located(row["label"]), label_scheme, mask, problems)
        )
    return cases


def _refuse(problems: dict[str, list[str]], total: int) -> None:
    """Raise one ``UserError`` that lists the patients with something wrong, if there are any."""
    if not problems:
        return
    lines = [f"{name} {'; '.join(texts)}" for name, texts in problems.items()]
    more = f"\n  … and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    raise UserError(
        f"{len(lines)} of {total} patients cannot be used:\n  " + "\n  ".join(lines[:SHOWN]) + more
    )


def _name_problems(cases: Sequence[Case]) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = defaultdict(list)
    # Some file systems do not tell capital letters from small ones.
    names = [case.patient_id.lower() for case in cases]
    for case in cases:
        if not SAFE_ID.fullmatch(case.patient_id):
            problems[repr(case.patient_id)].append(
                "is no valid patient_id: letters, digits, '.', '_' and '-' are, beginning with a "
                "letter or digit"
            )
        elif names.count(case.patient_id.lower()) > 1:
            problems[case.patient_id] = ["is there more than once; a patient_id must be unique"]
        problems[case.patient_id].extend(case.problems)
    return {name: texts for name, texts in problems.items() if texts}


def _geometry(reference: str) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine of a volume, from the header alone."""
    path, index = split_index(reference)
    try:
        image = nib.load(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as NIfTI ({error})") from error
    shape = image.shape
    if index is None and len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != (3 if index is None else 4):
        raise UserError(f"{path} has {len(shape)} dimensions")
    if index is not None and index >= shape[3]:
        raise UserError(f"{path} has {shape[3]} volumes, number {index} is not there")
    return tuple(shape[:3]), image.affine


def _same_grid(one: tuple, other: tuple) -> bool:
    """Whether two grids agree: equal shapes, and corners within a tenth of a millimetre."""
    if one[0] != other[0]:
        return False
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= np.array(one[0])
    distance = np.linalg.norm(corners @ (one[1] - other[1]).T, axis=1)
    return bool(distance.max() < AFFINE_TOLERANCE_MM)


def _check_grids(case: Case) -> None:
    grids = {m: _geometry(path) for m, path in case.images.items()}
    reference = reference_modality(list(case.images))
    for name, path in (("label", case.label), ("brain mask", case.brain_mask)):
        if path and not _same_grid(_geometry(path), grids[reference]):
            raise UserError(
                f"{name} {path} (shape {_geometry(path)[0]}) is not on the grid of {reference} "
                f"(shape {grids[reference][0]})"
            )


@dataclass(frozen=True)
class LabelContent:
    """How many voxels have each value, 0 to 255, and the volume of a voxel in mL."""

    counts: NDArray[np.int64]
    voxel_ml: float

    @classmethod
    def read(cls, path: str) -> "LabelContent":
        """Count the values of a label file. Raises ``UserError`` if they are no small integers."""
        raw, affine, _ = load_nifti(path)
        whole = np.rint(raw)
        if not np.isfinite(raw).all() or np.abs(raw - whole).max() > 1e-3:
            raise UserError(f"label {path} holds values that are no integers")
        if whole.min() < 0 or whole.max() > 255:
            raise UserError(
                f"label {path} holds values from {whole.min():g} to {whole.max():g}, no labels"
            )
        counts = np.bincount(whole.astype(np.uint8).ravel(), minlength=256)
        return cls(counts, abs(float(np.linalg.det(affine[:3, :3]))) / 1000)

    def tumour_ml(self, scheme: str, path: str) -> float:
        """Volume of the whole tumour in mL, the values checked against the scheme."""
        values = np.flatnonzero(self.counts)
        volume = self.counts[values[canonical(values, scheme, path) > 0]].sum() * self.voxel_ml
        if not volume:
            raise UserError(f"label {path} has no tumour")
        return float(volume)


def _after_treatment(cases: Sequence[Case], contents: dict[str, LabelContent]) -> list[Case]:
    """Use the scheme of 2024 where labels named as in 2023 hold a resection cavity, 4, beside 3."""
    recent = [case for case in cases if case.label_scheme == "brats2023"]
    totals = sum((contents[case.patient_id].counts for case in recent), np.zeros(256, int))
    if not (totals[3] and totals[4]):
        return list(cases)
    logging.info("labels hold resection cavities (4), as in BraTS 2024; they are no tumour")
    return [replace(case, label_scheme="brats2024") if case in recent else case for case in cases]


def inspect_cases(cases: Sequence[Case], source: str) -> pd.DataFrame:
    """Check every case and measure its tumour: the table of participants, sorted by name.

    Columns: ``patient_id``, one a modality, ``label``, ``brain_mask``, ``label_scheme``,
    ``volume_ml``. Raises one ``UserError`` that lists all patients with something wrong: a bad or
    double name, a missing or unreadable file, a label off the grid, of another scheme, or empty.
    """
    _refuse(_name_problems(cases), len(cases))
    _, problems = _each(cases, _check_grids)
    _refuse(problems, len(cases))
    contents, problems = _each(cases, lambda case: LabelContent.read(case.label))
    _refuse(problems, len(cases))
    if source == "brats":
        cases = _after_treatment(cases, contents)
    volumes, problems = _each(
        cases,
        lambda case: contents[case.patient_id].tumour_ml(case.label_scheme, case.label),
    )
    _refuse(problems, len(cases))
    rows = [
        {
            "patient_id": case.patient_id,
            **case.images,
            "label": case.label,
            "brain_mask": case.brain_mask,
            "label_scheme": case.label_scheme,
            "volume_ml": volumes[case.patient_id],
        }
        for case in sorted(cases, key=lambda case: case.patient_id)
    ]
    return pd.DataFrame(rows)


def _each(cases: Sequence[Case], work: Callable[[Case], Any]) -> tuple[dict, dict]:
    """Results of ``work`` by patient, and what the user can mend where it failed."""
    results, problems = {}, {}
    for number, case in enumerate(cases, 1):
        try:
            results[case.patient_id] = work(case)
        except UserError as error:
            problems[case.patient_id] = [f"({error})"]
        if number % 100 == 0:
            logging.info("%d of %d patients checked", number, len(cases))
    return results, problems
