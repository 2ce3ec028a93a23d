"""BraTS folders of 2017 and later, nested or flat."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from workflow_scripts.cohort.cases import Case, cohort_folder
from workflow_scripts.common.files import UserError

KINDS = {
    "brats2017": {"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair", "seg": "label"},
    "brats2023": {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair", "seg": "label"},
}
NAMES = {
    "brats2017": re.compile(r"(?P<id>.+)_(?P<kind>t1|t1ce|t2|flair|seg)\.nii(\.gz)?"),
    "brats2023": re.compile(r"(?P<id>.+)-(?P<kind>t1n|t1c|t2w|t2f|seg)\.nii(\.gz)?"),
}


def _files(root: str | Path) -> Iterator[Path]:
    for folder, _, names in os.walk(cohort_folder(root), followlinks=True):
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def listing_digest(root: str | Path) -> str:
    """What changes when files come or go under ``root``; their contents are not read."""
    names = sorted(f"{file.relative_to(root)} {file.stat().st_size}" for file in _files(root))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def brats_cases(root: str | Path, modalities: Sequence[str]) -> list[Case]:
    """Cases under ``root``, at any depth, named as in BraTS 2017–2021 or 2023 and later.

    The label scheme is what the names suggest. Raises ``UserError`` where nothing is found.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    schemes: dict[str, set[str]] = defaultdict(set)
    for file in _files(root):
        for scheme, pattern in NAMES.items():
            if match := pattern.fullmatch(file.name):
                found[match["id"]][KINDS[scheme][match["kind"]]].append(str(file))
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
