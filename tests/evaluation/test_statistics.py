"""Means, intervals and verdicts with known answers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from workflow_scripts.common.files import UserError
from workflow_scripts.evaluation import simulate_verdicts as simulation
from workflow_scripts.evaluation.compare_arms import check_same_patients
from workflow_scripts.evaluation.comparisons import choose_opponents, compare
from workflow_scripts.evaluation.statistics import (
    arm_difference,
    crossed_error,
    crossed_mean,
    per_patient,
    smallest_shown,
    summarise,
)
from workflow_scripts.evaluation.summarise_segmentation import caption
from workflow_scripts.evaluation.tables import METRICS, latex, markdown, readable, replace_between
from workflow_scripts.evaluation.verdicts import verdicts_text

ARMS = ["real", "real+classical", "real+synthetic", "real+classical+synthetic"]
OPPONENT = {8: "real+classical"}
SEED_SD = 0.035
NAN = float("nan")


def scores(gain, seeds=4, patients=12, regions=("WT",), arms=ARMS, seed_sd=0.0, n=8):
    """Scores in which an arm differs from the others by its gain, and seeds by ``seed_sd``."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        base = 0.6 + 0.1 * np.sin(np.arange(patients))
        for arm in arms:
            values = base + gain.get(arm, 0) + rng.normal(0, 0.01, patients)
            values += rng.normal(0, seed_sd)
            for k, value in enumerate(values):
                row = {"n": n, "validation": 2, "seed": seed, "arm": arm, "patient_id": f"{k:03d}"}
                row |= {"dice": value, "hd95_mm": 9.0 + k, "nsd": 0.5, "volume_error_ml": k - 5.0}
                row |= {"volume_error_abs_ml": abs(k - 5.0), "reference_ml": 3.0 + k}
                rows += [{**row, "region": region} for region in regions]
    return pd.DataFrame(rows)


def chosen(table, arm):
    return table[(table["arm"] == arm) & (table["region"] == "WT")]


def test_seeds_are_averaged_for_each_patient():
    table = per_patient(scores({}), METRICS)
    assert len(table) == 4 * 12
    first = scores({}).query("arm == 'real' and patient_id == '003'")["dice"].mean()
    found = table.query("arm == 'real' and patient_id == '003'")["dice"].item()
    assert found == pytest.approx(first)
    assert table["arm"].drop_duplicates().tolist() == ARMS


def test_the_error_is_that_of_the_mean_squares():
    # Two patients by two seeds by hand: means 2.5; patients 1.5, 3.5; seeds 2, 3; residual 0.
    error, freedom = crossed_error(np.array([[1.0, 2.0], [3.0, 4.0]]))
    # MS_P = 2·(1 + 1) = 4, MS_S = 2·(0.25 + 0.25) = 1, MS_E = 0, one degree of freedom each.
    assert error == pytest.approx(np.sqrt(5 / 4))
    satterthwaite = 25 / 17
    assert freedom == pytest.approx(2 / (1 / satterthwaite + 1))


def test_with_noise_alone_the_error_is_nearly_that_of_all_values():
    values = np.random.default_rng(0).normal(0, 0.1, (4000, 8, 6))
    error, _ = crossed_error(values)
    # The larger of three estimates: never too small on average.
    assert 1.0 < error.mean() / (0.1 / np.sqrt(48)) < 1.4


def test_a_spread_of_seeds_widens_the_interval_as_a_t_test_over_seeds_does():
    rng = np.random.default_rng(0)
    values = rng.normal(0.04, 0.035, (1, 3)) + rng.normal(0, 1e-4, (40, 3))
    found = crossed_mean(values, 0.95, SEED_SD)
    over_seeds = stats.ttest_1samp(values.mean(0), 0)
    assert found.p == pytest.approx(over_seeds.pvalue, rel=0.01)
    assert (found.low, found.high) == pytest.approx(over_seeds.confidence_interval(), rel=0.01)


@pytest.mark.parametrize("mean", [0.0, 0.02, 0.05])
def test_interval_and_p_agree(mean):
    rng = np.random.default_rng(3)
    for _ in range(50):
        values = mean + rng.normal(0, 0.03, (1, 4)) + rng.normal(0, 0.08, (15, 4))
        found = crossed_mean(values, 0.95, SEED_SD)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_few_seeds_suppose_their_spread_and_have_no_p():
    values = np.random.default_rng(0).normal(0.1, 0.05, (20, 2))
    found = crossed_mean(values, 0.95, SEED_SD)
    error = np.sqrt(SEED_SD**2 / 2 + values.mean(1).var(ddof=1) / 20)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.001)
    assert found.smallest == pytest.approx((1.96 + 0.8416) * error, rel=0.001)
    assert np.isnan(found.p) and np.isnan(crossed_mean(values, 0.95, NAN).low)
    assert np.isnan(crossed_mean(values[:1], 0.95, SEED_SD).low)


def test_a_difference_of_the_smallest_size_is_shown_in_four_of_five_studies():
    for freedom in (3.0, 6.0, 30.0):
        smallest = smallest_shown(1.0, freedom, 0.95)
        shown = stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, smallest)
        assert shown == pytest.approx(0.8, abs=0.03)
    assert smallest_shown(0.0, 6.0, 0.95) == 0


def test_equal_scores_do_not_differ():
    found = crossed_mean(np.zeros((5, 3)), 0.95, SEED_SD)
    assert (found.low, found.high, found.p, found.smallest) == (0, 0, 1, 0)


def test_seeds_and_patients_are_paired():
    one = scores({"real": 0.1}, seed_sd=0.05)
    shuffled = chosen(one, "real").sample(frac=1, random_state=0)
    pair = chosen(one, "real+classical")
    found = arm_difference(shuffled, pair[pair["seed"] > 0], "dice", 0.95, SEED_SD)
    assert (found.patients, found.seeds) == (12, 3)
    difference = (
        chosen(one, "real").set_index(["patient_id", "seed"])["dice"]
        - pair.set_index(["patient_id", "seed"])["dice"]
    )
    later = difference.index.get_level_values("seed") > 0
    assert found.mean == pytest.approx(difference[later].mean())


def validation(values):
    """Validation Dice by arm: a list over the seeds."""
    return pd.DataFrame(
        [(8, seed, arm, v) for arm, each in values.items() for seed, v in enumerate(each)],
        columns=["n", "seed", "arm", "validation_dice"],
    )


def test_the_opponent_has_the_best_validation_dice_of_those_without_synthetic_patients():
    table = validation({"real": [0.7, 0.8], "real+classical": [0.9, 0.5], ARMS[3]: [0.99, 0.99]})
    assert choose_opponents(table, "validation") == {8: "real"}
    assert choose_opponents(table, "real+classical") == {8: "real+classical"}
    assert choose_opponents(table, "real+classical+phantoms") == {}


@pytest.mark.parametrize(
    ("gain", "word"), [(0.05, "helped"), (-0.05, "harmed"), (0.0, "not decided")]
)
def test_a_true_difference_is_told_from_none(gain, word):
    table = scores({ARMS[3]: gain})
    found = compare(table, OPPONENT, {}, 0.95, SEED_SD)
    row = found[found["arm"] == ARMS[3]].iloc[0]
    assert row["verdict"] == word
    assert row["ci_low"] <= row["difference"] <= row["ci_high"]
    assert row["difference"] == pytest.approx(gain, abs=0.01)
    text = verdicts_text(found, table, "validation", 0.95, SEED_SD)
    assert (
        f"- Whole tumour (WT): **{word}**" in text
        and "4 seeds" in text
        and "best validation Dice" in text
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(seeds):
    table = scores({ARMS[3]: 0.3}, seeds=seeds)
    found = compare(table, OPPONENT, {}, 0.95, SEED_SD)
    assert set(found["verdict"]) == {f"not decided: {seeds} seed{'s' * (seeds > 1)}"}
    assert found["p"].isna().all() and (found["smallest"] > SEED_SD).all()
    text = verdicts_text(found, table, "real+classical", 0.95, SEED_SD)
    assert f"assuming a standard deviation between seeds of {SEED_SD}" in text and ", p" not in text


def test_a_gain_of_one_seed_alone_is_no_gain():
    table = scores({}, seeds=3, patients=40)
    lucky = (table["arm"] == ARMS[3]) & (table["seed"] == 1)
    table.loc[lucky, "dice"] += 0.08
    row = compare(table, OPPONENT, {}, 0.95, SEED_SD).iloc[0]
    assert row["difference"] > 0.02 and row["verdict"] == "not decided"


def test_each_region_has_a_verdict_corrected_for_the_others():
    table = scores({ARMS[3]: 0.03}, regions=("WT", "TC", "ET"), seed_sd=0.01)
    three = compare(table, OPPONENT, {}, 0.95, SEED_SD)
    main = three[three["arm"] == ARMS[3]]
    assert main["region"].tolist() == ["WT", "TC", "ET"]
    one = compare(table[table["region"] == "WT"], OPPONENT, {}, 0.95, SEED_SD).iloc[0]
    row = main.iloc[0]
    assert row["p"] == pytest.approx(min(3 * one["p"], 1))
    assert row["ci_high"] - row["ci_low"] > one["ci_high"] - one["ci_low"]
    assert "corrected for 3 regions" in verdicts_text(three, table, "validation", 0.95, SEED_SD)
    # The table of the arms has the same interval.
    arms = summarise(table, OPPONENT, ["dice"], 0.95, SEED_SD).set_index(["arm", "region"])
    assert arms.loc[(ARMS[3], "WT"), "dice_ci_low"] == pytest.approx(row["ci_low"])


def test_other_generators_are_compared_with_and_never_the_arm_to_beat():
    arms = ["real+classical", "real+classical+gan3d", "real+classical+ldm3d", ARMS[3]]
    table = scores({ARMS[3]: 0.1, arms[1]: 0.05}, arms=arms)
    validation = table[["n", "seed", "arm"]].drop_duplicates()
    validation = validation.assign(validation_dice=range(len(validation)))
    assert choose_opponents(validation, "validation") == {8: "real+classical"}
    found = compare(table, OPPONENT, {}, 0.95, SEED_SD).set_index("opponent")
    assert found.index.tolist() == arms[:3]
    assert found["difference"].tolist() == pytest.approx([0.1, 0.05, 0.1], abs=0.02)


def test_what_the_generator_adds_to_mixing_is_asked():
    arms = ["real+classical+tumorcp", "real+classical+tumorcp+synthetic"]
    found = compare(scores({arms[1]: 0.1}, arms=arms), {8: arms[0]}, {}, 0.95, SEED_SD)
    assert found[["question", "arm", "opponent"]].to_numpy().tolist() == [
        ["synthetic patients beside TumorCP", arms[1], arms[0]]
    ]
    assert found["difference"].tolist() == pytest.approx([0.1], abs=0.02)


def test_phantoms_copies_and_other_runs_are_compared_too():
    arms = ["real+classical", "real+classical+phantoms", "real+classical+copies", ARMS[3]]
    table, other = (scores({ARMS[3]: gain}, arms=arms) for gain in (0.1, 0.0))
    found = compare(table, OPPONENT, {"scratch": other}, 0.95, SEED_SD).set_index("opponent")
    strongest = compare(table, {8: arms[1]}, {}, 0.95, SEED_SD)
    assert strongest["opponent"].tolist() == [arms[1], arms[2]]
    assert found.index.tolist() == [*arms[:3], f"{ARMS[3]} of scratch"]
    assert found["difference"].tolist() == pytest.approx([0.1] * 4, abs=0.02)
    check_same_patients(table, other, "scratch")
    others = {
        "has other test patients": [
            other[other["patient_id"] != "003"],
            other.assign(reference_ml=9.0),
        ],
        "shares no number": [other.assign(seed=other["seed"] + 9), other.assign(region="ET")],
    }
    for words, tables in others.items():
        for wrong in tables:
            with pytest.raises(UserError, match=f"scratch {words}"):
                check_same_patients(table, wrong, "scratch")
    later = chosen(other, ARMS[3]).assign(seed=other["seed"] + 9)
    nobody = arm_difference(chosen(table, ARMS[3]), later, "dice", 0.95, SEED_SD)
    assert np.isnan(nobody.mean) and nobody.seeds == 0


def test_without_an_opponent_there_is_no_verdict():
    table = scores({}, arms=[ARMS[3]])
    found = compare(table, {}, {}, 0.95, SEED_SD)
    assert found.empty
    assert "Nothing to compare" in verdicts_text(found, table, "validation", 0.95, SEED_SD)


def test_the_summary_of_the_arms():
    table = summarise(scores({"real": -0.1}), OPPONENT, METRICS, 0.95, SEED_SD).set_index("arm")
    assert table.index.tolist() == ARMS
    assert table.loc["real", "dice_difference"] == pytest.approx(-0.1, abs=0.01)
    assert table.loc["real", "dice_ci_high"] < 0 < table.loc["real+synthetic", "dice_ci_high"]
    assert np.isnan(table.loc["real+classical", "dice_difference"])
    assert table["hd95_mm_mean"].tolist() == [14.5] * 4
    few = summarise(scores({}, seeds=1), OPPONENT, METRICS, 0.95, SEED_SD).set_index("arm")
    assert few.loc["real", "dice_ci_low"] < 0 and np.isnan(few.loc["real", "nsd_ci_low"])


def test_tables_for_people():
    table = scores({"real": -0.1})
    text = readable(summarise(table, OPPONENT, METRICS, 0.95, SEED_SD), METRICS)
    lines = markdown(text).splitlines()
    assert len(lines) == 6 and len(set(map(len, lines))) == 1
    assert "14.5 ± 3.6" in lines[2] and "−0.10" in lines[2] and "opponent" in lines[3]
    tex = latex(text, caption(table, 0.95, SEED_SD, {"spacing_mm": [1.0, 1.0, 1.6]}))
    assert tex.count(r"\\") == 5 and r"$\pm$" in tex and r"95 \%" in tex
    assert tex.count("&") == 5 * (len(text.columns) - 1)


@pytest.mark.parametrize("truth", simulation.TRUTHS, ids=["no patient effect", "patient effect"])
@pytest.mark.parametrize(("patients", "opponents"), [(40, 1), (100, 5)])
def test_false_verdicts_are_as_rare_as_they_say(truth, patients, opponents):
    false, _ = simulation.simulate(truth, 2000, patients, 3, opponents, seed=1)
    assert false <= 0.06


def test_a_gain_of_seven_hundredths_is_seen_with_five_seeds_and_forty_patients():
    for truth in simulation.TRUTHS:
        assert simulation.simulate(truth, 2000, 40, 5, 1, seed=1)[1] >= 0.8


def test_the_simulation_catches_a_test_over_patients_alone():
    rng = np.random.default_rng(0)
    trials = simulation.draw_trials(simulation.Truth(), 1000, 40, 3, 1, rng)
    over_patients = stats.ttest_1samp(trials.mean(-1), 0, axis=-1).pvalue < 0.05
    assert over_patients.mean() > 0.4
    assert simulation.share_decided(trials) < 0.06


def test_the_document_s_table_is_replaced(tmp_path):
    text = "before\n<!-- t: begin -->\nold\n<!-- t: end -->\nafter\n"
    found = replace_between(text, "new\n", "t")
    assert found == "before\n<!-- t: begin -->\nnew\n<!-- t: end -->\nafter\n"
    with pytest.raises(UserError, match="lacks the marks"):
        replace_between("nothing", "new\n", "t")
