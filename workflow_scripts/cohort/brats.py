"""BraTS folders of 2017 and later, nested or flat."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from workflow_scripts.cohort.patient_files import Case, cohort_folder
from workflow_scripts.common.files import UserError

KINDS = {
    "brats2017": {"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair", "seg": "label"},
    "brats2023": {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair", "seg": "label"},
}
NAMES = {
    "brats2017": re.compile(r"(?P<id>.+)_(?P<kind>t1|t1ce|t2|flair|seg)\.nii(\.gz)?"),
    "brats2023": re.compile(r"(?P<id>.+)-(?P<kind>t1n|t1c|t2w|t2f|seg)\.nii(\.gz)?"),
}
SCAN = re.compile(r"-\d{3}$")


def brats_files(root: str | Path) -> Iterator[tuple[Path, str, re.Match]]:
    """Files under ``root``, at any depth, that are named as in BraTS: each with the naming scheme
    (a key of ``NAMES``) and the match, whose groups are the patient's ``id`` and the ``kind``.

    Raises ``UserError`` if ``root`` is no folder.
    """
    visited: set[str] = set()
    for folder, inner, names in os.walk(cohort_folder(root), followlinks=True):
        # A folder that links lead to more than once, or into itself, is read once.
        real = os.path.realpath(folder)
        if real in visited:
            inner.clear()
            continue
        visited.add(real)
        inner.sort()
        for name in sorted(names):
            for scheme, pattern in NAMES.items():
                if not name.startswith(".") and (match := pattern.fullmatch(name)):
                    yield Path(folder, name), scheme, match
                    break


def brats_cases(root: str | Path, modalities: Sequence[str]) -> list[Case]:
    """Cases under ``root``, at any depth, named as in BraTS 2017–2021 or 2023 and later, sorted by
    name.

    The label scheme follows from the names. A missing or double file is one of the case's
    ``problems``. Raises ``UserError`` if no file is named as in BraTS.
    """
    files: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    schemes: dict[str, set[str]] = defaultdict(set)
    for file, scheme, match in brats_files(root):
        files[match["id"]][KINDS[scheme][match["kind"]]].append(str(file))
        schemes[match["id"]].add(scheme)
    if not files:
        raise UserError(
            f"cohort.root: no BraTS case under {root}; files must be named like "
            "<case>_flair.nii.gz with <case>_seg.nii.gz (2017–2021), or <case>-t2f.nii.gz with "
            "<case>-seg.nii.gz (2023 and later)"
        )
    return [
        _brats_case(name, files[name], sorted(schemes[name]), modalities) for name in sorted(files)
    ]


def _brats_case(
    name: str, kinds: dict[str, list[str]], schemes: list[str], modalities: Sequence[str]
) -> Case:
    """The case ``name`` from its files by kind (a modality or ``label``), with its problems."""
    missing = [kind for kind in (*modalities, "label") if kind not in kinds]
    problems = [f"has no {kind}" for kind in missing]
    twice = [kind for kind in (*modalities, "label") if len(kinds.get(kind, [])) > 1]
    problems += [f"has {kind} twice: {' and '.join(sorted(kinds[kind])[:2])}" for kind in twice]
    if len(schemes) > 1:
        problems.append("mixes the names of BraTS 2017–2021 with those of 2023")
    files = {kind: sorted(paths)[0] for kind, paths in kinds.items()}
    images = {m: files.get(m, "") for m in modalities}
    # Since 2023 a name ends in the number of the scan: BraTS-GLI-00005-100.
    subject = SCAN.sub("", name) if "brats2023" in schemes else name
    label = files.get("label", "")
    return Case(name, images, label, schemes[0], "", tuple(problems), subject)
