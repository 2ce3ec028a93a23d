"""A digest that changes when the files of a cohort do, without reading images."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from workflow_scripts.cohort.brats import brats_files
from workflow_scripts.cohort.msd import msd_cases
from workflow_scripts.cohort.patient_files import Case
from workflow_scripts.cohort.settings import CohortSettings
from workflow_scripts.cohort.table import table_cases
from workflow_scripts.common.files import UserError
from workflow_scripts.common.nifti import split_index


def listing_digest(cohort: CohortSettings, modalities: Sequence[str]) -> str:
    """Digest of the names, sizes and times of a cohort's files; "" for phantoms, and if the files
    cannot be listed.

    It is a parameter of ``list_participants``, so that this job runs again when files change. That
    job reports what is wrong with them; nothing is raised here.
    """
    try:
        files = sorted(set(_files(cohort, modalities)))
    except (UserError, OSError):
        return ""
    stamps = [(file, _stamp(file)) for file in files]
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16] if files else ""


def _files(cohort: CohortSettings, modalities: Sequence[str]) -> Iterator[str]:
    """Paths of all files of a cohort; none for phantoms."""
    if cohort.source == "brats":
        yield from (str(file) for file, _, _ in brats_files(cohort.root))
    elif cohort.source == "msd":
        yield from _of_cases(msd_cases(cohort.root, modalities))
    elif cohort.source == "table":
        arguments = (cohort.table, cohort.root, cohort.label_scheme, modalities)
        yield from _of_cases(table_cases(*arguments))


def _of_cases(cases: Sequence[Case]) -> Iterator[str]:
    """Paths of the cases' files, without the numbers of volumes in 4-D files."""
    for case in cases:
        for reference in case.files:
            yield split_index(reference)[0]


def _stamp(file: str) -> list[int]:
    """Size, modification time and change time (ns) of a file; an empty list if it does not exist.

    Programs that copy files, such as ``cp -p`` and ``rsync``, set the modification time. The change
    time is the file system's own, and shows that a file was replaced nevertheless.
    """
    try:
        status = Path(file).stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
