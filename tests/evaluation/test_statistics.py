"""Means, intervals and tests with known answers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from workflow_scripts.evaluation.statistics import (
    bootstrap_interval,
    holm,
    paired_p,
    per_patient,
    summarise,
)
from workflow_scripts.evaluation.summarise_segmentation import caption
from workflow_scripts.evaluation.tables import METRICS, latex, markdown, readable
from workflow_scripts.evaluation.write_summary import gains, sentences, verdict

ARMS = ["real", "real+classical", "real+synthetic", "real+classical+synthetic"]


def scores(gain, seeds=2, patients=12):
    """Scores in which each arm differs from the baseline by ``gain[arm]``."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        base = 0.6 + 0.1 * np.sin(np.arange(patients))
        for arm in ARMS:
            noise = rng.normal(0, 0.01, patients)
            for k in range(patients):
                values = {"dice": base[k] + gain.get(arm, 0) + noise[k], "hd95_mm": 9.0 + k}
                values |= {"nsd": 0.5, "volume_error_ml": float(k - 5)}
                values["volume_error_abs_ml"] = abs(values["volume_error_ml"])
                name = {"split": f"n8-s{seed}", "n": 8, "validation": 2, "seed": seed}
                name |= {"arm": arm, "patient_id": f"{k:03d}"}
                rows.append({**name, "region": "WT", **values})
    return pd.DataFrame(rows)


def test_seeds_are_averaged_for_each_patient():
    table = per_patient(scores({}), METRICS)
    assert len(table) == 4 * 12
    first = scores({}).query("arm == 'real' and patient_id == '003'")["dice"].mean()
    found = table.query("arm == 'real' and patient_id == '003'")["dice"].item()
    assert found == pytest.approx(first)
    assert table["arm"].drop_duplicates().tolist() == ARMS


def test_holm_corrects_as_in_his_paper():
    # 0.01·4, then 0.02·3, then the largest so far, then the last.
    assert holm([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


def test_wilcoxon_of_pairs():
    first, second = np.arange(8) / 10 + 0.3, np.arange(8) / 10 + 0.2 - np.arange(8) / 100
    assert paired_p(first, second) == pytest.approx(2 / 2**8)
    assert paired_p(second, first) == paired_p(first, second)
    assert paired_p(first, first + 1e-15) == 1.0
    noise = np.random.default_rng(0).normal(size=30)
    assert paired_p(noise, np.zeros(30)) == pytest.approx(stats.wilcoxon(noise).pvalue, abs=1e-6)


def test_the_interval_is_seeded_and_covers_the_mean():
    values = np.random.default_rng(1).normal(0.7, 0.1, 40)
    low, high = bootstrap_interval(values, 2000, 0.95, 3)
    assert (low, high) == bootstrap_interval(values, 2000, 0.95, 3)
    assert low < values.mean() < high
    expected = 2 * 1.96 * values.std() / np.sqrt(40)
    assert high - low == pytest.approx(expected, rel=0.1)
    assert bootstrap_interval(np.full(5, 0.3), 100, 0.95, 0) == pytest.approx((0.3, 0.3))


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(5)
    inside = 0
    for trial in range(200):
        low, high = bootstrap_interval(rng.normal(size=30), 400, 0.95, trial)
        inside += low < 0 < high
    assert 0.88 <= inside / 200 <= 0.98


def test_a_true_difference_is_told_from_none():
    table = summarise(scores({"real": -0.1}), METRICS, 500, 0.95, 0).set_index("arm")
    assert table.index.tolist() == ARMS
    assert table.loc["real", "dice_p"] == pytest.approx(3 * 2 / 2**12)  # the smallest of three
    assert table.loc["real+synthetic", "dice_p"] > 0.05
    assert np.isnan(table.loc["real+classical", "dice_p"])
    assert table.loc["real", "hd95_mm_p"] == 1.0
    assert table.loc["real", "dice_mean"] == pytest.approx(
        table.loc["real+classical", "dice_mean"] - 0.1, abs=0.01
    )
    assert table["hd95_mm_mean"].tolist() == [14.5] * 4


def test_without_a_baseline_there_is_no_test():
    table = summarise(scores({}).query("arm != 'real+classical'"), METRICS, 200, 0.95, 0)
    assert table["dice_p"].isna().all() and len(table) == 3


def test_tables_for_people():
    text = readable(summarise(scores({"real": -0.1}), METRICS, 200, 0.95, 0), METRICS)
    lines = markdown(text).splitlines()
    assert len(lines) == 6 and len(set(map(len, lines))) == 1
    assert "14.5 ± 3.6 [" in lines[2]
    tex = latex(text, caption(12, 0.95, {"spacing_mm": [1.0, 1.0, 1.6]}))
    assert tex.count(r"\\") == 5 and r"$\pm$" in tex and r"95 \%" in tex
    assert tex.count("&") == 5 * (len(text.columns) - 1)


@pytest.mark.parametrize(
    ("gain", "word"), [(0.05, "helped"), (-0.05, "harmed"), (0.0, "not decided at this size")]
)
def test_the_summary_says_whether_synthetic_patients_helped(gain, word):
    table = scores({"real+classical+synthetic": gain})
    summary = summarise(table, METRICS, 500, 0.95, 0)
    found = gains(table, summary, (500, 0.95, 0), 0.05).set_index("arm")
    row = found.loc["real+classical+synthetic"]
    assert row["verdict"] == word
    assert row["gain"] == pytest.approx(gain, abs=0.01)
    assert row["ci_low"] <= row["gain"] <= row["ci_high"]
    text = sentences(found.reset_index(), table, 0.95)
    assert f"**{word}**" in text and "fewer than five seeds" in text and "2 seeds" in text


def test_a_difference_needs_both_interval_and_test():
    assert verdict(0.1, 0.01, 0.2, 0.2, 0.05) == "not decided at this size"
    assert verdict(0.1, -0.01, 0.2, 0.01, 0.05) == "not decided at this size"
    assert verdict(0.1, 0.01, 0.2, 0.01, 0.05) == "helped"
