"""The table of test patients: what stands in it, and in which order."""

from pathlib import Path

import pandas as pd
import pytest

from workflow_scripts.cohort.settings import SplitSettings
from workflow_scripts.report.failures import (
    Prediction,
    note,
    order_of_patients,
    part,
    prediction_facts,
    predictions_by_patient,
    with_lesions,
    worst_first,
)

ARMS = ("real", "real+synthetic")
# Dice by patient and arm of seed 0; seed 1 has 0.1 more.
DICE = {("a", "real"): 0.7, ("a", "real+synthetic"): 0.2, ("b", "real"): 0.5}
DICE[("b", "real+synthetic")] = 0.6


def score(split: str, patient: str, arm: str, region: str = "WT", more: float = 0) -> dict:
    return {
        "split": split, "n": int(split[1]), "seed": int(split[-1]), "arm": arm,
        "patient_id": patient, "region": region, "dice": DICE[patient, arm] + more,
        "hd95_mm": 10 * (1 - DICE[patient, arm]), "volume_error_ml": -2.25 - 10 * more,
        "lesion_tp": 1, "lesion_fn": 1 if patient == "a" else 0,
    }  # fmt: skip


@pytest.fixture
def scores() -> pd.DataFrame:
    """Two seeds of eight training patients, and a split of four of which nothing is shown."""
    rows = [score("n8-s0", *key) for key in DICE] + [score("n8-s1", *k, more=0.1) for k in DICE]
    return pd.DataFrame(rows + [score("n4-s0", *key, more=-0.2) for key in DICE])


def test_patients_and_arms_are_in_the_order_of_their_mean_dice(scores):
    means = worst_first(with_lesions(scores, "n8-s0"))
    found = list(zip(means["patient_id"], means["arm"], means["dice"].round(3), strict=True))
    assert found == [
        ("a", "real+synthetic", 0.25), ("b", "real", 0.55),
        ("b", "real+synthetic", 0.65), ("a", "real", 0.75),
    ]  # fmt: skip
    assert order_of_patients(means) == ["a", "b"]


def test_a_cell_has_its_text_and_what_it_is_sorted_by(scores):
    table = part(with_lesions(scores, "n8-s0"), {"b"})
    first = table["rows"][0]
    assert (first["patient_id"], first["arm"], first["viewed"]) == ("a", "real+synthetic", False)
    assert [text for text, _ in first["cells"]] == ["0.250", "8.0", "−2.8", "1.0 of 2"]
    assert [key for _, key in first["cells"]] == pytest.approx([0.25, 8, 2.75, 1])
    assert [row["viewed"] for row in table["rows"]] == [False, True, True, False]
    assert table["arms"] == list(ARMS)
    assert [c["title"] for c in table["columns"]] == [
        "Dice", "HD95 (mm)", "Volume error (mL)", "Lesions missed",
    ]  # fmt: skip


def test_a_prediction_has_the_scores_of_its_own_seed_by_region(scores):
    regions = [score("n8-s0", "a", "real", "TC", more=-0.3)]
    rows = with_lesions(pd.concat([scores, pd.DataFrame(regions)]), "n8-s0")
    facts = prediction_facts(rows, "a", Prediction("n8-s0", "real", Path("label.nii.gz")))
    assert facts["columns"] == ["prediction, 8 training patients, seed 0", "WT", "TC"]
    assert facts["rows"][0] == ("Dice", "0.700", "0.400")
    assert facts["rows"][-1] == ("Lesions missed", "1 of 2", "1 of 2")


def test_predictions_are_found_by_patient(tmp_path):
    folders = [tmp_path / "fold1-s0" / arm / "predictions" for arm in ARMS]
    folders.append(tmp_path / "fold2-s0" / "real" / "predictions")
    for folder, patient in zip(folders, "aab", strict=True):
        (folder / patient).mkdir(parents=True)
    found = predictions_by_patient(list(map(str, folders)))
    assert [(p.split, p.arm, p.name) for p in found["a"]] == [
        ("fold1-s0", arm, f"prediction {arm}") for arm in ARMS
    ]
    assert [p.file for p in found["b"]] == [folders[2] / "b" / "label.nii.gz"]


def test_the_note_names_seeds_and_splits_and_who_is_left_out(scores):
    rows = with_lesions(scores, "n8-s0")
    text = note(rows, ["n8-s0"], viewed=1)
    assert "means over seeds 0, 1" in text
    assert "those of 8 training patients, seed 0" in text
    assert "the viewer has 1 of 2 test patients" in text
    one_seed = note(rows[rows["seed"] == 0], ["n8-s0"], viewed=2)
    assert "those of seed 0." in one_seed
    assert "full" not in one_seed


@pytest.mark.parametrize(
    ("scheme", "viewed"),
    [("draws", ["n8-s3"]), ("folds", ["fold1-s3", "fold2-s3", "fold3-s3"])],
)
def test_the_viewer_shows_each_test_patient_by_one_seed(default_values, scheme, viewed):
    changed = {"scheme": scheme, "train_sizes": [4, 8], "folds": 3, "seeds": [3, 1]}
    values = default_values["cohort"]["splits"] | changed
    assert SplitSettings.model_validate(values).viewed == viewed
