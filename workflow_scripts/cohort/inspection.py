"""Checks of every file of every case, before any training starts.

Names and paths are checked first, then headers, then the values of images and labels, and at last
the cohort as a whole: no image may belong to two persons.
"""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.cohort.patient_files import Case
from workflow_scripts.cohort.problems import Problem, report_errors, warn_of
from workflow_scripts.common.files import InputError, UserError
from workflow_scripts.common.geometry import ASK, TOLERANCE_MM, Geometry, same_grid
from workflow_scripts.common.labels import canonical
from workflow_scripts.common.modalities import reference_modality
from workflow_scripts.common.nifti import (
    closest_canonical,
    load_volume,
    load_volumes,
    read_header,
    split_index,
)
from workflow_scripts.common.progress import Progress

# A patient's name becomes part of paths: no separators, and no leading dot. File systems take
# names of 255 characters, of which 155 are left for prefixes and suffixes.
LONGEST_ID = 100
SAFE_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_ID - 1}}}")
# An image in which a smaller share of the voxels differs from the most frequent value is no image.
LEAST_VARIED = 0.002
# Whole tumours outside these volumes are probably errors of the label.
SMALLEST_ML, LARGEST_ML = 0.05, 400
# Canonical values of the regions. Among so many patients, at least one has each region.
REGION_NAMES = {1: "a core", 2: "oedema", 3: "enhancing tumour"}
FEWEST_FOR_REGIONS = 3
# Remedies for a file that is no image, and for one that is no label map.
IMAGE = "name another file for this modality"
LABEL = "name a label map, with the values of its scheme (cohort.label_scheme)"
# Shape (X, Y, Z) and affine (4 × 4, voxel to mm) of a volume.
Voxels = tuple[tuple[int, int, int], NDArray[np.float64]]
# Label schemes whose files are named as in 2023.
NAMED_2023 = {
    "brats2023": "1 core, 2 oedema, 3 enhancing",
    "brats2024": "after treatment: the same, 4 is the resection cavity",
    "brats_ped2024": "1 enhancing, 2 non-enhancing, 3 cyst, 4 oedema",
}


def _grid(reference: str, geometry: Geometry) -> Voxels:
    """Shape and affine of a volume with axes nearest to RAS+, from the header alone. Raises
    ``UserError`` as ``read_header`` does."""
    header = read_header(reference, geometry)
    return closest_canonical(header.shape, header.affine)


def image_digests(references: Sequence[str], geometry: Geometry) -> dict[str, str]:
    """SHA-256 of the values of each image, by its reference.

    It is the same for the same image in another file, with another order of its axes or another
    data type. Raises ``UserError`` for an image that cannot be read, that is constant, or that has
    values that are not finite.
    """
    digests = {}
    for reference, array, affine in load_volumes(references, geometry):
        check_values(array, reference)
        digests[reference] = _values_digest(array, affine, np.float32)
    return digests


def _values_digest(array: NDArray, affine: NDArray, dtype: type) -> str:
    """SHA-256 of the values of a volume (X, Y, Z), cast to ``dtype``, with axes nearest to
    RAS+."""
    turned = nib.orientations.apply_orientation(array, nib.io_orientation(affine))
    # Arrays of NIfTI files lie in memory with x first.
    return hashlib.sha256(np.ascontiguousarray(turned.astype(dtype).T)).hexdigest()


def check_values(array: NDArray, reference: str) -> None:
    """Raise ``UserError`` for an image (X, Y, Z) with values that are not finite, or that is
    constant but for a share of ``LEAST_VARIED`` of its voxels."""
    if not np.isfinite(array).all():
        raise InputError(reference, "holds values that are not finite", IMAGE)
    # Most voxels outside the head have the same value, the smallest or the median; voxels inside
    # differ from it.
    usual = array.min(), np.median(array[::2, ::2, ::2])
    differ = min(np.count_nonzero(array != value) for value in usual) / array.size
    if differ < LEAST_VARIED:
        what = "is constant but for a few voxels" if differ else "is constant"
        raise InputError(reference, what, IMAGE)


@dataclass(frozen=True)
class LabelContent:
    """What a label file holds: numbers of voxels (256,) by value, the volume of a voxel in mL, and
    a digest of the values."""

    counts: NDArray[np.int64]
    voxel_ml: float
    digest: str

    @classmethod
    def read(cls, path: str, geometry: Geometry = ASK) -> "LabelContent":
        """Read a label file. Raises ``UserError`` for values that are not integers from 0 to 255,
        and as ``load_volume`` does."""
        raw, affine = load_volume(path, geometry)
        whole = np.rint(raw)
        if not np.isfinite(raw).all() or np.abs(raw - whole).max() > 1e-3:
            raise InputError(path, "holds values that are no integers", LABEL)
        if whole.min() < 0 or whole.max() > 255:
            raise InputError(
                path, f"holds values from {whole.min():g} to {whole.max():g}, no labels", LABEL
            )
        counts = np.bincount(whole.astype(np.uint8).ravel(), minlength=256)
        voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        return cls(counts, voxel_ml, _values_digest(whole, affine, np.uint8))

    def tumour_ml(self, scheme: str, path: str) -> float:
        """Volume of the whole tumour in mL. Raises ``UserError``, naming the file ``path``, for a
        value that the label scheme does not have, and for a label without a tumour."""
        values = np.flatnonzero(self.counts)
        volume = self.counts[values[canonical(values, scheme, path) > 0]].sum() * self.voxel_ml
        if not volume:
            raise InputError(
                path, "the label has no tumour", "leave the patient out (cohort.exclude)"
            )
        return float(volume)


@dataclass(frozen=True)
class Content:
    """What the files of a scan hold: its label, digests of its images by file, and one digest of
    all that preprocessing reads (``case_digest``)."""

    label: LabelContent
    digests: dict[str, str]
    digest: str


def case_digest(case: Case, values: dict[str, str], geometry: Geometry) -> str:
    """Digest of all that preprocessing reads of a case: the ``values`` (digests by file) of images
    and label, shapes and affines, and the file of the brain mask.

    Files that are compressed again or moved have the same digest, so that nothing is computed
    again. Raises ``UserError`` for a header, ``OSError`` for a brain mask that cannot be read.
    """
    digest = hashlib.sha256()
    for name, path in {**case.images, "label": case.label}.items():
        shape, affine = _grid(path, geometry)
        rounded = np.round(affine, 4) + 0.0  # without -0.0, whose bytes differ
        digest.update(f"{name} {values[path]} {shape}".encode() + rounded.tobytes())
    if case.brain_mask:
        path, index = split_index(case.brain_mask)
        with open(path, "rb") as file:
            digest.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()} {index}".encode())
    return digest.hexdigest()[:16]


def real_path(reference: str) -> str:
    """A volume's file with all links resolved, and its number in a 4-D file (``path#k``)."""
    path, index = split_index(reference)
    real = os.path.realpath(path)
    return real if index is None else f"{real}#{index}"


def _difference(one: Voxels, other: Voxels) -> str:
    """The first difference between the grids of two volumes, in words: shape, voxel size, position
    or orientation."""
    (shape, affine), (other_shape, other_affine) = one, other
    if shape != other_shape:
        return f"it has {_times(shape)} voxels, that has {_times(other_shape)}"
    sizes, others = (np.linalg.norm(a[:3, :3], axis=0) for a in (affine, other_affine))
    if np.abs(sizes - others).max() > 1e-3:
        return f"its voxels are {_times(sizes)} mm, those {_times(others)} mm"
    middle = np.append((np.array(shape) - 1) / 2, 1)
    apart = float(np.linalg.norm((affine @ middle - other_affine @ middle)[:3]))
    turned = "" if apart > TOLERANCE_MM else ", and it is turned"
    return f"their middles are {apart:.1f} mm apart{turned}"


def _times(numbers: Iterable[float]) -> str:
    """Numbers as in ``240 × 240 × 155``."""
    return " × ".join(f"{number:g}" for number in numbers)


def case_problems(case: Case, names: Counter, files: Counter) -> Iterator[InputError]:
    """What is wrong with a case before any of its files is opened: a name that is invalid or not
    unique, and files that are missing, named more than once, or have braces in their path.

    ``names`` (lower case) and ``files`` (``real_path``) count those of the whole cohort.
    """
    if not SAFE_ID.fullmatch(case.patient_id):
        yield InputError(
            "",
            "is no valid patient_id",
            "letters, digits, '.', '_' and '-' are, beginning with a letter or digit, "
            f"{LONGEST_ID} at most",
        )
    if names[case.patient_id.lower()] > 1:
        yield InputError("", "is there more than once", "a patient_id must be unique")
    for problem in case.problems:
        yield InputError("", problem, "name one file for each, or leave the patient out")
    for path in case.files:
        if "{" in path or "}" in path:
            # Snakemake would take what is in braces for a wildcard.
            yield InputError(path, "paths cannot hold braces", "rename the file or its folder")
    for path in dict.fromkeys(case.scans):
        if files[real_path(path)] > 1:
            yield InputError(path, "is named more than once", "each volume needs a file of its own")


def grid_problems(case: Case, geometry: Geometry) -> Iterator[UserError]:
    """What is wrong with the headers of a case's files: those that cannot be read, a label on the
    grid of no modality, and a brain mask that is not on the grid of the reference modality."""
    grids: dict[str, Voxels] = {}
    files = {**case.images, "label": case.label, "brain mask": case.brain_mask}
    for name, path in files.items():
        try:
            if path:
                grids[name] = _grid(path, geometry)
        except UserError as error:
            yield error
    reference = reference_modality(list(case.images))
    allowed = {"label": list(case.images), "brain mask": [reference]}
    if not set(case.images) <= set(grids):
        return
    for name, modalities in allowed.items():
        own = grids.get(name)
        if own and not any(same_grid(*own, *grids[m]) for m in modalities):
            yield InputError(
                files[name],
                f"the {name} is not on the grid of {' or '.join(modalities)}: compared with "
                f"{reference}, {_difference(own, grids[reference])}",
                "resample it to the image that it was drawn on",
            )


def read_content(case: Case, geometry: Geometry) -> tuple[Content | None, list[UserError]]:
    """What the files of a case hold, and no problems; or ``None``, and all that is wrong with
    them."""
    problems: list[UserError] = []
    digests: dict[str, str] = {}
    # The volumes of a 4-D file are read together, so that it is decompressed once.
    by_file: dict[str, list[str]] = {}
    for path in case.images.values():
        by_file.setdefault(split_index(path)[0], []).append(path)
    for references in by_file.values():
        try:
            digests |= image_digests(references, geometry)
        except UserError as error:
            problems.append(error)
    try:
        label = LabelContent.read(case.label, geometry)
    except UserError as error:
        problems.append(error)
    if problems:
        return None, problems
    values = {**digests, case.label: label.digest}
    return Content(label, digests, case_digest(case, values, geometry)), []


def settled_schemes(cases: Sequence[Case], contents: dict[str, Content]) -> list[Case]:
    """The cases, unless names and label values leave open which label scheme is theirs.

    Files of several schemes are named as in 2023 (``NAMED_2023``). Raises a ``UserError`` that asks
    for ``cohort.label_scheme`` if one of these labels has the value 4, or one of these cases is
    paediatric by its name.
    """
    recent = [case for case in cases if case.label_scheme == "brats2023"]
    fours = [case.patient_id for case in recent if contents[case.patient_id].label.counts[4]]
    doubtful = fours or [case.patient_id for case in recent if "-PED-" in case.patient_id]
    if doubtful:
        reason = "its label holds the value 4" if fours else "it is paediatric by its name"
        schemes = "; ".join(f"{name} ({words})" for name, words in NAMED_2023.items())
        raise UserError(
            f"cohort.label_scheme: {doubtful[0]} may be of several label schemes: {reason}. Say "
            f"which: {schemes}"
        )
    return list(cases)


def _checked(
    cases: Sequence[Case], geometry: Geometry, threads: int
) -> tuple[list[Case], dict[str, Content], list[Problem]]:
    """Cases whose files can be used, sorted by ``patient_id``; their contents by ``patient_id``;
    and the problems of the others. Every file is read, by ``threads`` threads."""
    names = Counter(case.patient_id.lower() for case in cases)
    files = Counter(real_path(path) for case in cases for path in case.scans)
    good: list[Case] = []
    contents: dict[str, Content] = {}
    problems: list[Problem] = []
    progress = Progress(len(cases), "patients checked")

    def read(case: Case) -> tuple[Content | None, Sequence[UserError]]:
        wrong = list(case_problems(case, names, files)) or list(grid_problems(case, geometry))
        return (None, wrong) if wrong else read_content(case, geometry)

    ordered = sorted(cases, key=lambda case: case.patient_id)
    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(read, ordered)
        for number, (case, (content, wrong)) in enumerate(zip(ordered, results, strict=True), 1):
            name = case.patient_id or case.origin or "''"
            problems += [Problem.of(error, name) for error in wrong]
            if content:
                contents[case.patient_id] = content
                good.append(case)
            progress.done(number)
    return good, contents, problems


class Seen:
    """The images of the patients that were accepted so far, to recognise a patient who is listed
    twice."""

    def __init__(self) -> None:
        self.images: dict[str, tuple[str, Case]] = {}

    def check(self, case: Case, digests: dict[str, str]) -> None:
        """Raise ``UserError`` if two of a patient's images (digests by file) have the same values,
        or if one has the values of an image of another person."""
        own: dict[str, str] = {}
        for path, digest in digests.items():
            if digest in own:
                raise InputError(
                    path, f"holds the same values as {own[digest]}", "name another file for one"
                )
            own[digest] = path
            taken, other = self.images.get(digest, (path, case))
            if _person(other) != _person(case):
                raise InputError(
                    path,
                    f"holds the same values as {taken} of {other.patient_id}",
                    "if it is the same person, take one of the two out (cohort.exclude)",
                )

    def take(self, case: Case, digests: dict[str, str]) -> None:
        """Add the images of an accepted patient (digests by file)."""
        self.images |= {digest: (path, case) for path, digest in digests.items()}


def _person(case: Case) -> str:
    """The person of a scan: the ``subject``, or else the ``patient_id``."""
    return case.subject or case.patient_id


def inspect_cases(
    cases: Sequence[Case],
    scheme: str | None,
    on_error: str,
    geometry: Geometry = ASK,
    threads: int = 1,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Check every case and measure its tumour.

    Returns the participants that can be used, sorted by name, and all errors and warnings. The
    table has the columns ``patient_id``, each modality, ``label``, ``brain_mask``,
    ``label_scheme``, ``volume_ml`` (whole tumour, mL) and ``digest`` (``case_digest``). Of several
    scans of one person the first that can be used is kept: two of them in different parts of a
    split would be a leak.

    ``scheme`` replaces the label scheme of the cases, ``geometry`` resolves ambiguous headers, and
    ``threads`` cases are read at a time. With ``on_error`` ``stop``, one ``UserError`` lists all
    patients with errors; with ``skip`` they are left out. Raises ``UserError`` in any case if no
    patient can be used, or if the label scheme is open (``settled_schemes``).
    """
    if not cases:
        raise UserError("cohort.exclude leaves no patient; name fewer")
    good, contents, problems = _checked(cases, geometry, threads)
    if scheme:
        good = [replace(case, label_scheme=scheme) for case in good]
    else:
        try:
            good = settled_schemes(good, contents)
        except UserError:
            report_errors(problems, len(cases), on_error)  # errors first, then the open question
            raise
    rows: list[dict] = []
    taken: dict[str, str] = {}
    seen = Seen()
    for case in good:
        content = contents[case.patient_id]
        try:
            volume = content.label.tumour_ml(case.label_scheme, case.label)
            seen.check(case, content.digests)
        except UserError as error:
            problems.append(Problem.of(error, case.patient_id))
            continue
        seen.take(case, content.digests)
        first = taken.setdefault(_person(case), case.patient_id)
        if first != case.patient_id:
            logging.info("%s: another scan of the patient of %s, left out", case.patient_id, first)
            continue
        files = {**case.images, "label": case.label, "brain_mask": case.brain_mask}
        facts = {"label_scheme": case.label_scheme, "volume_ml": volume, "digest": content.digest}
        rows.append({"patient_id": case.patient_id, **files, **facts})
    problems.sort(key=lambda problem: problem.patient_id)
    volumes = {row["patient_id"]: row["volume_ml"] for row in rows}
    used = [case for case in good if case.patient_id in volumes]
    warnings = odd_labels(used, contents, volumes)
    warn_of(warnings)
    report_errors(problems, len(cases), on_error if rows else "stop")
    return pd.DataFrame(rows), [*problems, *warnings]


def odd_labels(
    cases: Sequence[Case], contents: dict[str, Content], volumes: dict[str, float]
) -> list[Problem]:
    """Warnings of labels that are valid, but probably wrong: whole tumours of unusual ``volumes``
    (mL, by patient), and a region that no patient has."""
    odd = [
        Problem(
            "warning",
            case.patient_id,
            case.label,
            f"the tumour has {volumes[case.patient_id]:.3g} mL",
            f"{SMALLEST_ML} to {LARGEST_ML} mL are usual; see that the label is right",
        )
        for case in cases
        if not SMALLEST_ML <= volumes[case.patient_id] <= LARGEST_ML
    ]
    seen = np.zeros(max(REGION_NAMES) + 1, bool)
    for case in cases:
        values = np.flatnonzero(contents[case.patient_id].label.counts)
        seen[canonical(values, case.label_scheme, case.label)] = True
    scheme = cases[0].label_scheme if cases else ""
    absent = [name for value, name in REGION_NAMES.items() if not seen[value]]
    if absent and len(cases) >= FEWEST_FOR_REGIONS and scheme != "whole_tumour":
        what = f"no patient has {' or '.join(absent)} with the label scheme {scheme}"
        remedy = "see that it is the right one (cohort.label_scheme)"
        odd.append(Problem("warning", "", "", what, remedy))
    return odd
