"""Cases as BIDS derivatives (https://bids-specification.readthedocs.io, version 1.10.0)."""

import shutil
from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_json, write_json, write_text
from workflow_scripts.export.exported_patients import SYNTHETIC, Case, copy_label
from workflow_scripts.synthesis.request_table import source_of

VERSION = "1.10.0"
SPACE = "MNI152NLin2009aSym"
# Entities and suffix of each modality.
MODALITIES = {
    "t1": ("", "T1w"),
    "t1ce": ("ce-gadolinium_", "T1w"),
    "t2": ("", "T2w"),
    "flair": ("", "FLAIR"),
}
CLASSES = {
    "whole_tumour": {1: ("WT", "whole tumour")},
    "subregions": {
        1: ("NCR", "necrotic and non-enhancing core"),
        2: ("ED", "oedema"),
        3: ("ET", "enhancing tumour"),
    },
}
README = """{name}: volumes in MNI152 space, intensities from 0 to 1 inside the brain, tumour masks.
Written by SBLDM. {origin}
"""
ORIGINS = {
    False: "Preprocessed patients; the column split has the role of each one.",
    True: "Synthesised as requested in the run's attributes.tsv. The column derived_from names "
    "the person whose brain it is; n/a: no person's.",
}


def subject(name: str) -> str:
    """A patient's name as a BIDS label, which has letters and digits only."""
    return "".join(letter for letter in name if letter.isalnum() and letter.isascii())


def derived_from(case: Case) -> str:
    """The person whose brain a synthetic patient has, or ``n/a``."""
    return source_of(read_json(case.folder / "request.json")["anatomy"]) or "n/a"


def write_bids(folder: Path, cases: list[Case], modalities: list[str], labels: str) -> None:
    """Write ``folder/real`` and ``folder/synthetic``, each a separate derivative data set."""
    for name, is_synthetic in (("real", False), ("synthetic", True)):
        of_set = [case for case in cases if (case.role == SYNTHETIC) == is_synthetic]
        if of_set:
            _write_dataset(folder / name, f"SBLDM, {name} patients", of_set, modalities, labels)


def _write_dataset(
    dataset: Path, name: str, cases: list[Case], modalities: list[str], labels: str
) -> None:
    for case in cases:
        who = f"sub-{subject(case.name)}"
        folder = dataset / who / "anat"
        folder.mkdir(parents=True)
        for modality in modalities:
            entities, suffix = MODALITIES[modality]
            stem = f"{who}_{entities}space-{SPACE}_desc-preproc_{suffix}"
            shutil.copyfile(case.volume(modality), folder / f"{stem}.nii.gz")
            write_json({"SkullStripped": True}, folder / f"{stem}.json")
        stem = f"{who}_space-{SPACE}_desc-tumour_dseg"
        copy_label(case, labels, folder / f"{stem}.nii.gz")
    is_synthetic = cases[0].role == SYNTHETIC
    description = {
        "Name": name,
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "SBLDM"}],
    }
    write_json(description, dataset / "dataset_description.json")
    write_text(README.format(name=name, origin=ORIGINS[is_synthetic]), dataset / "README")
    table = pd.DataFrame(
        {"participant_id": [f"sub-{subject(c.name)}" for c in cases],
         "original_id": [c.name for c in cases], "split": [c.role for c in cases]}
    )  # fmt: skip
    if is_synthetic:
        table["derived_from"] = [derived_from(case) for case in cases]
    write_text(table.to_csv(sep="\t", index=False), dataset / "participants.tsv")
    columns = {
        "original_id": {"Description": "the patient's name in the cohort or the run"},
        "split": {"Description": "train, validation, test, or synthetic"},
    }
    if is_synthetic:
        columns["derived_from"] = {"Description": "the person whose brain it is; n/a: no person's"}
    write_json(columns, dataset / "participants.json")
    rows = [f"{value}\t{short}\t{long}" for value, (short, long) in CLASSES[labels].items()]
    write_text(
        "\n".join(["index\tabbreviation\tname", *rows]) + "\n", dataset / "desc-tumour_dseg.tsv"
    )
