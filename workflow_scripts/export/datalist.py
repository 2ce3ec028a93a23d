"""Export of cases as a list for MONAI's ``load_decathlon_datalist``."""

import os
from pathlib import Path

from workflow_scripts.common.files import write_json
from workflow_scripts.common.labels import class_count
from workflow_scripts.export.exported_patients import Case, copy_label


def write_datalist(
    folder: Path, home: Path, cases: list[Case], modalities: list[str], labels: str
) -> None:
    """Write ``datalist.json`` with a section for each role, and label maps with the run's classes;
    paths are relative to ``home``, the final folder of the list."""
    sections: dict[str, list[dict]] = {}
    for case in cases:
        label = Path("labels", case.role, f"{case.name}.nii.gz")
        copy_label(case, labels, folder / label)
        files = [os.path.relpath(case.volume(m), home) for m in modalities]
        section = {"train": "training"}.get(case.role, case.role)
        sections.setdefault(section, []).append(
            {"image": files, "label": str(label), "patient_id": case.name}
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
