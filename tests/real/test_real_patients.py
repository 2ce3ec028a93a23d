"""Real patients from their files to the tables."""

import json
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--configfile", str(ROOT / "config" / "tiny.yaml"))
# What counts is that each stage takes what the one before it made.
FEW_STEPS = ("autoencoder={steps: 20}", "diffusion={steps: 10}")


# Without a generator, up to the scores; and all of it.
FORMS = [
    ("real+classical", ["--", "results-tiny/evaluation/scores.csv"]),
    pytest.param("real+classical+synthetic", [], marks=pytest.mark.long),
]


@pytest.mark.parametrize(("arm", "target"), FORMS)
def test_real_patients_are_each_tested_once(arm, target, real_data, snakemake, tmp_path):
    """Two folds: one table with all patients, each tested by models that never saw it."""
    rows, patients = [], 4 if target else 6
    for folder in sorted((real_data / "brats2015").iterdir())[:patients]:
        rows.append(
            {
                "patient_id": folder.name,
                "flair": folder / "Flair_subtrMeanDivStd.nii.gz",
                "t1ce": folder / "T1c_subtrMeanDivStd.nii.gz",
                "label": folder / "OTMultiClass.nii.gz",
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "patients.tsv", sep="\t", index=False)
    cohort = (
        "cohort={source: table, table: patients.tsv, label_scheme: brats2015, "
        "splits: {scheme: folds, folds: 2}}"
    )
    arms = f"segmentation={{steps: 6, arms: [{arm}]}}"
    changes = ("preprocess={skull_strip: auto}", "synthesis={attempts: 1}", *FEW_STEPS)
    done = snakemake(tmp_path, *TINY, "--config", cohort, arms, *changes, *target)
    assert done.returncode == 0, done.stderr[-4000:]
    results = tmp_path / "results-tiny"
    scores = pd.read_csv(results / "evaluation" / "scores.csv")
    assert sorted(scores["patient_id"]) == [row["patient_id"] for row in rows]
    assert (scores["n"] == patients // 2 - 1).all() and (scores["validation"] == 1).all()
    if not target:
        summary = pd.read_csv(results / "evaluation" / "segmentation.csv")
        assert summary["patients"].tolist() == [6]
    for record in results.glob("*/fold*/**/provenance/train_*.json"):
        split = next(part for part in record.parts if part.startswith("fold"))
        tested = set(scores.loc[scores["split"] == split, "patient_id"])
        seen = {Path(file).parent.name for file in json.loads(record.read_text())["inputs"]}
        assert tested and not tested & seen, record


@pytest.mark.long
def test_a_brats2023_patient_is_preprocessed(real_data, snakemake, tmp_path):
    root = real_data / "brats2023"
    target = "results-tiny/preprocess/BraTS-GLI-00000-000/picture.png"
    cohort = f"cohort={{source: brats, root: {root}}}"
    change = "preprocess={skull_strip: auto}"
    done = snakemake(tmp_path, *TINY, "--config", cohort, change, "--", target)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / target).stat().st_size > 10_000
