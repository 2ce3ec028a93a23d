"""No patient on two sides; nested, seeded, stratified."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from workflow_scripts.cohort.list_participants import phantom_participants
from workflow_scripts.cohort.settings import CohortSettings, SplitSettings
from workflow_scripts.cohort.splits import draw_splits, keyed_order, training_sizes
from workflow_scripts.common.files import UserError


def cohort(size):
    volumes = np.exp(np.random.default_rng(1).uniform(1, 5, size))
    return pd.DataFrame({"patient_id": [f"p{k:03d}" for k in range(size)], "volume_ml": volumes})


def settings(**changes):
    values = {"train_sizes": [4, 8, 16], "seeds": [0, 1, 2], "validation": 5, "test": 12}
    values |= {"scheme": "draws", "folds": 5, "test_seed": 0}
    return SplitSettings.model_validate(values | changes)


def members(splits, split, role):
    rows = splits[(splits["split"] == split) & (splits["role"] == role)]
    return set(rows["patient_id"])


def test_no_patient_on_two_sides():
    splits = draw_splits(cohort(60), settings())
    assert not splits.duplicated(["split", "patient_id"]).any()
    assert set(splits["split"]) == {f"n{n}-s{s}" for n in (4, 8, 16) for s in (0, 1, 2)}
    for name, rows in splits.groupby("split"):
        counts = rows["role"].value_counts()
        assert counts["train"] == int(name[1:].split("-")[0])
        assert counts["validation"] == 5 and counts["test"] == 12


def test_test_and_validation_are_fixed():
    splits = draw_splits(cohort(60), settings())
    for role in ("test", "validation"):
        assert len({frozenset(members(splits, s, role)) for s in set(splits["split"])}) == 1
    other = draw_splits(cohort(60), settings(test_seed=1))
    assert members(other, "n4-s0", "test") != members(splits, "n4-s0", "test")


def test_training_sets_are_nested_and_seeded():
    splits = draw_splits(cohort(60), settings())
    for seed in (0, 1, 2):
        sets = [members(splits, f"n{n}-s{seed}", "train") for n in (4, 8, 16)]
        assert sets[0] < sets[1] < sets[2]
    assert members(splits, "n8-s0", "train") != members(splits, "n8-s1", "train")
    pd.testing.assert_frame_equal(splits, draw_splits(cohort(60), settings()))


def test_rows_do_not_depend_on_the_order_of_the_cohort():
    mixed = cohort(60).sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(
        draw_splits(cohort(60), settings()), draw_splits(mixed, settings())
    )


def test_another_size_changes_no_other_split():
    few = draw_splits(cohort(60), settings(train_sizes=[4]))
    many = draw_splits(cohort(60), settings())
    assert members(few, "n4-s0", "train") == members(many, "n4-s0", "train")


def test_every_beginning_holds_small_and_large_tumours_in_proportion():
    table = cohort(64)
    strata = dict(zip(table["patient_id"], np.floor(np.log2(table["volume_ml"])), strict=True))
    shares = pd.Series(strata).value_counts(normalize=True)
    for seed in range(20):
        order = keyed_order(table, f"train {seed}")
        assert sorted(order) == sorted(table["patient_id"])
        for size in (8, 16, 32):
            counts = pd.Series([strata[name] for name in order[:size]]).value_counts()
            assert (counts.reindex(shares.index, fill_value=0) - size * shares).abs().max() < 1.01


def test_every_patient_can_be_drawn():
    drawn = {keyed_order(cohort(7), f"train {s}")[0] for s in range(80)}
    assert drawn == set(cohort(7)["patient_id"])


@pytest.mark.parametrize("size", [20, 60])
def test_one_more_patient_draws_little_anew(size):
    """A new patient may take a place; who was drawn for any other reason stays."""
    given = settings(train_sizes=[4], validation=3, test=8)
    splits = draw_splits(cohort(size), given)
    for number in range(12):
        new = pd.DataFrame({"patient_id": [f"new{number}"], "volume_ml": [3.0 * 1.5**number]})
        more = draw_splits(pd.concat([cohort(size), new]), given)
        for role in ("test", "validation", "train"):
            before, after = (members(s, "n4-s0", role) for s in (splits, more))
            assert len(before - after) <= 2, role


def folds(patients, **changes):
    return draw_splits(cohort(patients), settings(scheme="folds", **changes))


@pytest.mark.parametrize(("patients", "count"), [(6, 3), (10, 4), (20, 5)])
def test_each_patient_is_tested_once_for_each_seed(patients, count):
    splits = folds(patients, folds=count, validation=1, seeds=[0, 1])
    assert set(splits["split"]) == {f"fold{k}-s{s}" for k in range(1, count + 1) for s in (0, 1)}
    assert not splits.duplicated(["split", "patient_id"]).any()
    for seed in (0, 1):
        of_seed = splits[splits["split"].str.endswith(f"-s{seed}")]
        tested = of_seed[of_seed["role"] == "test"]["patient_id"]
        assert sorted(tested) == sorted(cohort(patients)["patient_id"])
    sizes = {trains for trains, _ in training_sizes(splits).values()}
    assert len(sizes) == 1
    assert all(held >= 1 for _, held in training_sizes(splits).values())
    first = [members(splits, f"fold1-s{s}", "test") for s in (0, 1)]
    assert first[0] != first[1]


def test_development_tests_each_patient_but_the_test_patients_of_draws():
    sizes = {"train_sizes": [4], "validation": 1, "test": 8, "folds": 2, "seeds": [0, 1]}
    tested = members(draw_splits(cohort(20), settings(**sizes)), "n4-s0", "test")
    splits = draw_splits(cohort(20), settings(scheme="development", **sizes))
    assert set(splits["patient_id"]) == set(cohort(20)["patient_id"]) - tested
    for seed in (0, 1):
        folds_of_seed = [members(splits, f"fold{k}-s{seed}", "test") for k in (1, 2)]
        assert folds_of_seed[0] | folds_of_seed[1] == set(splits["patient_id"])
        assert not folds_of_seed[0] & folds_of_seed[1]
    assert set(training_sizes(splits).values()) == {(4, 1)}
    # A fold of five leaves five others.
    needs = "test 8, and 10 in 2 folds: 1 for validation, 4 who train.* lower train_sizes or valid"
    assert settings(scheme="development", **sizes).largest_split == (4, 5)
    with pytest.raises(UserError, match=needs):
        draw_splits(cohort(17), settings(scheme="development", **sizes))


def test_folds_that_leave_nobody_to_train_are_refused():
    with pytest.raises(UserError, match="needs 5 patients .3 folds, 2 for validation, one who"):
        folds(4, folds=3, validation=2)


def test_six_patients():
    splits = draw_splits(cohort(6), settings(train_sizes=[3], validation=1, test=2, seeds=[0]))
    assert splits["role"].value_counts().to_dict() == {"train": 3, "test": 2, "validation": 1}
    assert splits["patient_id"].nunique() == 6


def test_cohort_too_small():
    with pytest.raises(UserError, match="needs 33 patients .* the cohort has 32"):
        draw_splits(cohort(32), settings())


def test_phantom_table_without_images(phantom_settings, tmp_path):
    table = phantom_participants(5, 0, ["flair", "t1ce"], phantom_settings, "results/phantoms")
    assert table["patient_id"].tolist() == [f"phantom-{k:04d}" for k in range(1, 6)]
    assert table.loc[0, "flair"] == "results/phantoms/phantom-0001/flair.nii.gz"
    assert table["volume_ml"].between(*phantom_settings.volume_ml).all()
    more = phantom_participants(8, 0, ["flair", "t1ce"], phantom_settings, "results/phantoms")
    pd.testing.assert_frame_equal(table, more.head(5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "brats"}, "cohort.root"),
        ({"source": "table"}, "cohort.table"),
        ({"source": "table", "table": "x.tsv"}, "label_scheme"),
        ({"sorce": "brats"}, "sorce"),
    ],
)
def test_settings_that_cannot_work(cohort_values, changes, message):
    with pytest.raises(ValidationError, match=message):
        CohortSettings.model_validate(cohort_values | changes)


def test_values_in_braces_arrive_as_text(cohort_values):
    splits = {"train_sizes": ["5"], "seeds": ["0"], "validation": "1", "test": "2"}
    values = cohort_values | {"splits": cohort_values["splits"] | splits | {"test_seed": "3"}}
    assert CohortSettings.model_validate(values).splits.patients_needed == 8
