"""Cases as a list that MONAI's ``load_decathlon_datalist`` reads."""

import os
from pathlib import Path

from workflow_scripts.common.files import write_json
from workflow_scripts.common.labels import class_count
from workflow_scripts.export.cases import Case


def write_datalist(
    folder: Path, home: Path, cases: list[Case], modalities: list[str], labels: str
) -> None:
    """Write ``datalist.json``: a section for each role, with files relative to ``home``, where
    the list will lie.

    Labels are the canonical ones of the files: 1 core, 2 oedema, 3 enhancing tumour.
    """
    sections: dict[str, list[dict]] = {}
    for case in cases:
        files = [os.path.relpath(case.volume(m), home) for m in modalities]
        label = os.path.relpath(case.volume("label"), home)
        section = {"train": "training"}.get(case.role, case.role)
        sections.setdefault(section, []).append(
            {"image": files, "label": label, "patient_id": case.name}
        )
    classes = ["background", "whole tumour"]
    if class_count(labels) > 2:
        classes = ["background", "core", "oedema", "enhancing tumour"]
    description = {
        "name": "SBLDM: real and synthetic patients",
        "modality": {str(i): m for i, m in enumerate(modalities)},
        "labels": {str(i): name for i, name in enumerate(classes)},
        **sections,
    }
    write_json(description, folder / "datalist.json")
