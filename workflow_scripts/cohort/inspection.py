"""Every file of every case is checked before a second is spent on training."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.cohort.cases import Case
from workflow_scripts.cohort.modalities import reference_modality
from workflow_scripts.common.files import UserError
from workflow_scripts.common.geometry import same_grid
from workflow_scripts.common.labels import canonical
from workflow_scripts.common.nifti import UNREADABLE, load_nifti, split_index
from workflow_scripts.common.progress import Progress

# A patient's name becomes part of paths: no separators, and no leading dot.
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SHOWN = 10  # patients named in a message
# Schemes that share the names of 2023.
NAMED_2023 = {
    "brats2023": "1 core, 2 oedema, 3 enhancing",
    "brats2024": "after treatment: the same, 4 is the resection cavity",
    "brats_ped2024": "1 enhancing, 2 non-enhancing, 3 cyst, 4 oedema",
}


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


def check_case(case: Case, names: Counter, files: Counter) -> None:
    """Raise ``UserError`` for a bad or double name, a file that is missing, unreadable or named
    twice, or a label that lies on the voxels of no modality.

    ``names`` and ``files`` count those of the whole cohort.
    """
    if not SAFE_ID.fullmatch(case.patient_id):
        raise UserError(
            "is no valid patient_id: letters, digits, '.', '_' and '-' are, beginning with a "
            "letter or digit"
        )
    if names[case.patient_id.lower()] > 1:
        raise UserError("is there more than once; a patient_id must be unique")
    if case.problems:
        raise UserError("; ".join(case.problems))
    if twice := [path for path in case.scans if files[path] > 1]:
        raise UserError(f"{twice[0]} is named more than once; each volume needs a file of its own")
    grids = {m: _geometry(path) for m, path in case.images.items()}
    reference = reference_modality(list(case.images))
    allowed = {"label": list(grids), "brain mask": [reference]}
    for name, path in (("label", case.label), ("brain mask", case.brain_mask)):
        own = _geometry(path) if path else grids[reference]
        if not any(same_grid(*own, *grids[m]) for m in allowed[name]):
            raise UserError(
                f"{name} {path} (shape {own[0]}) is not on the grid of "
                f"{' or '.join(allowed[name])} (shape {grids[reference][0]})"
            )


def settled_schemes(cases: Sequence[Case], contents: dict[str, LabelContent]) -> list[Case]:
    """Cases of a BraTS folder with the scheme that their names and label values leave no doubt of.

    The names of 2023 are those of other schemes too. Raises ``UserError`` that asks for
    ``cohort.label_scheme`` where the labels hold a 4, or the cases are paediatric.
    """
    recent = [case for case in cases if case.label_scheme == "brats2023"]
    fours = [case.patient_id for case in recent if contents[case.patient_id].counts[4]]
    doubtful = fours or [case.patient_id for case in recent if "-PED-" in case.patient_id]
    if doubtful:
        found = "its label holds the value 4" if fours else "it is paediatric by its name"
        schemes = "; ".join(f"{name} ({words})" for name, words in NAMED_2023.items())
        raise UserError(
            f"cohort.label_scheme: {doubtful[0]} may be of several label schemes: {found}. Say "
            f"which: {schemes}"
        )
    return list(cases)


def _checked(
    cases: Sequence[Case],
) -> tuple[list[Case], dict[str, LabelContent], dict[str, str]]:
    """The scans whose files can be used, by name, what their labels hold, and why others are left
    out."""
    names = Counter(case.patient_id.lower() for case in cases)
    files = Counter(path for case in cases for path in case.scans)
    good: list[Case] = []
    contents: dict[str, LabelContent] = {}
    problems: dict[str, str] = {}
    progress = Progress(len(cases), "patients checked")
    for number, case in enumerate(sorted(cases, key=lambda case: case.patient_id), 1):
        try:
            check_case(case, names, files)
            contents[case.patient_id] = LabelContent.read(case.label)
            good.append(case)
        except UserError as error:
            problems[case.patient_id or "''"] = str(error)
        progress.done(number)
    return good, contents, problems


def inspect_cases(
    cases: Sequence[Case], scheme: str | None, on_error: str
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Check every case and measure its tumour: the table of participants, sorted by name, and the
    patients that were left out, with why.

    Of several scans of one person the first that can be used is taken: two of them on two sides of
    a split would be a leak.
    Columns: ``patient_id``, one a modality, ``label``, ``brain_mask``, ``label_scheme``,
    ``volume_ml``. ``scheme`` overrules that of the cases. With ``on_error`` ``stop``, raises one
    ``UserError`` that lists all patients with something wrong; with ``skip`` they are left out.
    """
    if not cases:
        raise UserError("cohort.exclude leaves no patient; name fewer")
    good, contents, problems = _checked(cases)
    if scheme:
        good = [replace(case, label_scheme=scheme) for case in good]
    else:
        try:
            good = settled_schemes(good, contents)
        except UserError:
            _report(problems, len(cases), on_error)  # what is wrong comes before what is open
            raise
    rows: list[dict] = []
    taken: dict[str, str] = {}
    for case in good:
        try:
            volume = contents[case.patient_id].tumour_ml(case.label_scheme, case.label)
        except UserError as error:
            problems[case.patient_id] = str(error)
            continue
        first = taken.setdefault(case.subject or case.patient_id, case.patient_id)
        if first != case.patient_id:
            logging.info("%s: another scan of the patient of %s, left out", case.patient_id, first)
            continue
        files = {**case.images, "label": case.label, "brain_mask": case.brain_mask}
        told = {"label_scheme": case.label_scheme, "volume_ml": volume}
        rows.append({"patient_id": case.patient_id, **files, **told})
    _report(problems, len(cases), on_error if rows else "stop")
    return pd.DataFrame(rows), problems


def _report(problems: dict[str, str], total: int, on_error: str) -> None:
    """Raise, or with ``skip`` log, one message that lists the patients with something wrong."""
    if not problems:
        return
    lines = [f"{name}: {text}" for name, text in problems.items()]
    more = f"\n  … and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    message = f"{len(lines)} of {total} patients cannot be used:\n  " + "\n  ".join(lines[:SHOWN])
    if on_error == "stop":
        raise UserError(
            f"{message}{more}\nMend them, name them in cohort.exclude, or set cohort.on_error: skip"
        )
    logging.warning("%s%s\nThey are left out (cohort.on_error: skip)", message, more)
