"""Export of cases as nnU-Net's raw data sets (https://github.com/MIC-DKFZ/nnUNet, dataset format of
v2)."""

import shutil
from pathlib import Path

from workflow_scripts.common.files import write_json
from workflow_scripts.common.labels import regions
from workflow_scripts.export.exported_patients import LEARNED, SYNTHETIC, Case, copy_label

# Numbers from 500 are free for custom data sets.
REAL, MADE, BOTH = 501, 502, 503
DATASETS = {REAL: "SBLDMReal", MADE: "SBLDMSynthetic", BOTH: "SBLDMRealAndSynthetic"}
NAMES = {"WT": "whole_tumour", "TC": "tumour_core", "ET": "enhancing_tumour"}


def dataset_name(number: int) -> str:
    """Name of a data set's folder, which contains its number."""
    return f"Dataset{number}_{DATASETS[number]}"


def chosen(number: int, cases: list[Case]) -> list[Case]:
    """Cases of a data set: real ones, synthetic ones or, if there are both, all."""
    synthetic = [case for case in cases if case.role == SYNTHETIC]
    if number == BOTH:
        return cases if synthetic else []
    return synthetic if number == MADE else [case for case in cases if case not in synthetic]


def label_definition(labels: str) -> dict:
    """``labels`` of ``dataset.json``, and the order of the regions if there are several.

    Nested regions are trained as regions: each is a list of classes, and the order determines which
    class a voxel of the region gets.
    """
    region_classes = regions(labels)
    if len(region_classes) == 1:
        return {"labels": {"background": 0, NAMES["WT"]: 1}}
    named = {NAMES[name]: list(classes) for name, classes in region_classes.items()}
    # A whole tumour's own class is oedema, its part outside the core, and so on.
    return {"labels": {"background": 0, **named}, "regions_class_order": [2, 1, 3]}


def write_nnunet(folder: Path, cases: list[Case], modalities: list[str], labels: str) -> None:
    """Write ``folder/Dataset…`` for real cases, synthetic ones and both; test cases are in the real
    data set's ``imagesTs`` and ``labelsTs``. Empty data sets are not written."""
    for number in DATASETS:
        of_set = chosen(number, cases)
        learned = [case for case in of_set if case.role in LEARNED]
        tested = [case for case in of_set if case.role not in LEARNED]
        if not learned:
            continue
        dataset = folder / dataset_name(number)
        for part, group in (("Tr", learned), ("Ts", tested)):
            for case in group:
                _write_case(dataset, part, case, modalities, labels)
        channels = {str(index): modality for index, modality in enumerate(modalities)}
        description = {
            "channel_names": channels,
            **label_definition(labels),
            "numTraining": len(learned),
            "file_ending": ".nii.gz",
        }
        write_json(description, dataset / "dataset.json")


def _write_case(dataset: Path, part: str, case: Case, modalities: list[str], labels: str) -> None:
    images, masks = dataset / f"images{part}", dataset / f"labels{part}"
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for index, modality in enumerate(modalities):
        shutil.copyfile(case.volume(modality), images / f"{case.name}_{index:04d}.nii.gz")
    copy_label(case, labels, masks / f"{case.name}.nii.gz")
