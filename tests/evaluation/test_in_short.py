"""The results in three answers."""

import pandas as pd
import pytest

from workflow_scripts.common.words import region_words, split_words
from workflow_scripts.evaluation.comparisons import MAIN
from workflow_scripts.evaluation.in_short import in_short

ROW = {
    "n": 8, "question": MAIN, "region": "WT", "patients": 8, "seeds": 1, "difference": 0.088,
    "ci_low": -0.004, "ci_high": 0.18, "verdict": "not decided: 1 seed",
}  # fmt: skip
AUC = {
    "split": "n8-s0", "generator": "synthetic", "measure": "auc_reconstructed",
    "modality": "flair", "value": 0.83, "low": 0.63, "high": 0.93, "floor": 0.72,
}  # fmt: skip


def text(rows=({},), likeness=({},), phantoms=True):
    comparisons = pd.DataFrame([ROW | row for row in rows], columns=list(ROW))
    quality = pd.DataFrame([AUC | row for row in likeness], columns=list(AUC))
    return in_short(comparisons, quality, phantoms, 0.95)


def test_one_seed_is_said_to_decide_nothing():
    assert "Not decided: 1 seed. Dice changes by +0.088 (whole tumour)." in text()
    assert "95 % interval −0.004 to +0.180; 8 test patients, 1 seed. Fewer than 3" in text()
    assert "Fewer than" not in text([{"seeds": 5}])


def test_regions_with_verdicts_of_their_own_are_told_apart():
    shown = text([{"verdict": "helped"}, {"region": "TC", "verdict": "harmed", "difference": -0.1}])
    assert "whole tumour helped, Dice +0.088; tumour core harmed, Dice −0.100." in shown
    assert "−0.004 to +0.180 (WT), −0.004 to +0.180 (TC)" in shown


def test_of_several_sizes_the_largest_counts():
    assert "+0.088" not in text([{"n": 4}, {"difference": 0.05}])


@pytest.mark.parametrize(("low", "words"), [(0.63, "Not quite"), (0.4, "cannot surely tell them")])
def test_whether_a_network_tells_them_apart(low, words):
    shown = text(likeness=[{"low": low}])
    assert words in shown and "FLAIR 0.83" in shown and "training patients 0.72" in shown


def test_phantoms_are_not_asked_to_look_real():
    assert "Do they look like the phantoms?" in text()
    assert "Do they look real?" in text(phantoms=False)


def test_runs_without_an_answer_have_a_section_too():
    assert "This run has no arms" in text(rows=[], likeness=[])


def test_names_of_folders_in_words():
    assert split_words("n8-s0") == "8 training patients, seed 0"
    assert split_words("n1-s2") == "1 training patient, seed 2"
    assert split_words("fold3-s1") == "fold 3, seed 1"
    assert split_words("mine") == "mine"
    assert region_words("ET") == "enhancing tumour (ET)"
