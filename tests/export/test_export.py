"""Real and synthetic patients as other frameworks read them."""

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from monai.data import load_decathlon_datalist

from workflow_scripts.common.files import UserError, write_json
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.export.export_datasets import cases, main

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))
MODALITIES = ["flair", "t1ce"]


@pytest.fixture
def job(tmp_path, patients):
    """Three real patients and a synthetic one, and the rule's parameters."""
    places = [
        *(tmp_path / "preprocess" / name for name in ("a-1", "b_2", "c.3")),
        tmp_path / "made" / "synthetic-0001",
    ]
    for source, target in zip(map(Patient, patients), places, strict=True):
        volumes = (source.image(), source.label(), source.brain())
        save_patient(target, *volumes, GRID.affine, MODALITIES)
    write_json({"anatomy": "phantom"}, places[-1] / "request.json")
    splits = tmp_path / "splits.tsv"
    roles = {"a-1": "train", "b_2": "validation", "c.3": "test"}
    rows = [f"n1-s0\t{name}\t{role}" for name, role in roles.items()]
    splits.write_text("\n".join(["split\tpatient_id\trole", *rows, "n9-s9\tb_2\ttest"]) + "\n")
    return SimpleNamespace(
        input=SimpleNamespace(
            splits=splits, volumes=[places[0] / "flair.nii.gz"], synthetic=tmp_path / "made"
        ),
        params=SimpleNamespace(modalities=MODALITIES, labels="whole_tumour"),
        output=SimpleNamespace(datasets=str(tmp_path / "export")),
        wildcards=SimpleNamespace(split="n1-s0"),
    )


def exported(job) -> Path:
    main(job)
    return Path(job.output.datasets)


def test_nnunet_has_real_and_synthetic_apart_and_together(job):
    root = exported(job) / "nnUNet_raw"
    counts = {}
    for dataset in sorted(root.iterdir()):
        description = json.loads((dataset / "dataset.json").read_text())
        assert description["channel_names"] == {"0": "flair", "1": "t1ce"}
        labels = sorted(file.name for file in (dataset / "labelsTr").iterdir())
        images = sorted(file.name for file in (dataset / "imagesTr").iterdir())
        assert description["numTraining"] == len(labels)
        names = [name.removesuffix(".nii.gz") for name in labels]
        assert images == [f"{name}_{m:04d}.nii.gz" for name in names for m in (0, 1)]
        counts[dataset.name] = len(labels)
    assert counts == {
        "Dataset501_SBLDMReal": 2,
        "Dataset502_SBLDMSynthetic": 1,
        "Dataset503_SBLDMRealAndSynthetic": 3,
    }
    tested = [file.name for file in (root / "Dataset501_SBLDMReal" / "imagesTs").iterdir()]
    assert sorted(tested) == ["c.3_0000.nii.gz", "c.3_0001.nii.gz"]
    assert not (root / "Dataset502_SBLDMSynthetic" / "imagesTs").exists()


@pytest.mark.parametrize("labels", ["whole_tumour", "subregions"])
def test_labels_and_geometry_are_the_patients(job, patients, labels):
    job.params.labels = labels
    root = exported(job)
    expected = collapse(Patient(patients[0]).label(), labels)
    for file in (
        root / "nnUNet_raw/Dataset501_SBLDMReal/labelsTr/a-1.nii.gz",
        root / "bids/real/sub-a1/anat/sub-a1_space-MNI152NLin2009aSym_desc-tumour_dseg.nii.gz",
    ):
        image = nib.load(file)
        np.testing.assert_array_equal(np.asarray(image.dataobj), expected)
        np.testing.assert_allclose(image.affine, GRID.affine)


def test_regions_hold_each_other_for_nnunet(job):
    job.params.labels = "subregions"
    file = exported(job) / "nnUNet_raw/Dataset501_SBLDMReal/dataset.json"
    description = json.loads(file.read_text())
    regions = {k: np.atleast_1d(v) for k, v in description["labels"].items()}
    painted = np.zeros(4, int)  # by the class that a voxel truly has
    for (_, classes), value in zip(
        list(regions.items())[1:], description["regions_class_order"], strict=True
    ):
        painted[classes] = value
    assert painted.tolist() == [0, 1, 2, 3]


def test_monai_reads_each_section(job):
    file = exported(job) / "monai" / "datalist.json"
    for section, name in (
        ("training", "a-1"),
        ("validation", "b_2"),
        ("test", "c.3"),
        ("synthetic", "synthetic-0001"),
    ):
        (case,) = load_decathlon_datalist(file, True, section)
        assert case["patient_id"] == name
        assert all(Path(path).is_file() for path in (*case["image"], case["label"]))
        assert set(np.unique(nib.load(case["label"]).dataobj)) == {0, 1}


def test_bids_names_say_who_is_synthetic(job):
    root = exported(job) / "bids"
    tables = {
        name: pd.read_csv(root / name / "participants.tsv", sep="\t")
        for name in ("real", "synthetic")
    }
    assert tables["real"]["participant_id"].tolist() == ["sub-a1", "sub-b2", "sub-c3"]
    assert tables["real"]["split"].tolist() == ["train", "validation", "test"]
    assert tables["synthetic"]["original_id"].tolist() == ["synthetic-0001"]
    assert (root / "synthetic/sub-synthetic0001/anat").is_dir()
    assert "Synthesised" in (root / "synthetic/README").read_text()
    assert "Synthesised" not in (root / "real/README").read_text()


@pytest.mark.parametrize(
    ("anatomy", "person"),
    [("phantom", "n/a"), ("training:a-1/7", "a-1"), ("/data/brains/x", "x")],
)
def test_bids_names_whose_brain_a_synthetic_patient_has(job, tmp_path, anatomy, person):
    write_json({"anatomy": anatomy}, tmp_path / "made" / "synthetic-0001" / "request.json")
    root = exported(job) / "bids"
    table = (root / "synthetic" / "participants.tsv").read_text().splitlines()
    assert table[0].split("\t")[-1] == "derived_from"
    assert table[1].split("\t")[-1] == person
    assert "derived_from" not in (root / "real" / "participants.tsv").read_text()


def test_patients_whose_names_would_be_one_are_named(job, tmp_path):
    splits = tmp_path / "splits.tsv"
    splits.write_text("split\tpatient_id\trole\nn1-s0\ta-1\ttrain\nn1-s0\ta_1\ttest\n")
    with pytest.raises(UserError, match=r"'a-1' \(train\) and 'a_1' \(test\)"):
        cases(splits, "n1-s0", tmp_path, tmp_path / "made")
    splits.write_text("split\tpatient_id\trole\nn1-s0\tsynthetic-0001\ttrain\n")
    with pytest.raises(UserError, match="'synthetic-0001' \\(train\\) and 'synthetic-0001'"):
        cases(splits, "n1-s0", tmp_path, tmp_path / "made")


def test_without_synthetic_patients_the_real_ones_are_exported(job, tmp_path):
    (tmp_path / "nobody").mkdir()
    job.input.synthetic = tmp_path / "nobody"
    root = exported(job)
    names = sorted(folder.name for folder in (root / "nnUNet_raw").iterdir())
    assert names == ["Dataset501_SBLDMReal"]
    assert not (root / "bids" / "synthetic").exists()
