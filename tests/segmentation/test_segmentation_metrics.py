"""Scores against shapes whose answers are known."""

import numpy as np
import pytest

from workflow_scripts.segmentation.metrics import diagonal_mm, dice, region_scores

SPACING = (1.0, 2.0, 3.0)


def cube(start, side=8, shape=(32, 32, 32)):
    mask = np.zeros(shape, bool)
    x, y, z = start
    mask[x : x + side, y : y + side, z : z + side] = True
    return mask


def test_the_same_region_agrees_perfectly():
    scores = region_scores(cube((10, 10, 10)), cube((10, 10, 10)), SPACING, 1.0)
    assert scores == {"dice": 1.0, "hd95_mm": 0.0, "nsd": 1.0, "volume_error_ml": 0.0}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shifted_cube(axis):
    shift = np.zeros(3, int)
    shift[axis] = 4
    scores = region_scores(cube((10, 10, 10) + shift), cube((10, 10, 10)), SPACING, 1.0)
    assert scores["dice"] == 0.5
    assert scores["hd95_mm"] == pytest.approx(4 * SPACING[axis])
    assert scores["volume_error_ml"] == 0


def test_surfaces_within_the_tolerance_agree():
    pair = cube((10, 10, 10)), cube((12, 10, 10))
    assert region_scores(*pair, SPACING, 2.01)["nsd"] == 1.0
    # Two faces of six are too far away; their share of the surface: 2 · 16·24 of 2 · (…).
    faces = np.array([16 * 24, 8 * 24, 8 * 16])
    moved = 1 - faces[0] / faces.sum()
    assert region_scores(*pair, SPACING, 0.5)["nsd"] == pytest.approx(moved, abs=0.1)


def test_volume_error_is_predicted_minus_true():
    large, small = cube((10, 10, 10), 8), cube((10, 10, 10), 6)
    error = (8**3 - 6**3) * 6 / 1000
    assert region_scores(large, small, SPACING, 1.0)["volume_error_ml"] == pytest.approx(error)
    assert region_scores(small, large, SPACING, 1.0)["volume_error_ml"] == pytest.approx(-error)


def test_a_missed_and_an_invented_tumour_score_the_worst():
    empty, tumour = np.zeros((32, 32, 32), bool), cube((10, 10, 10))
    diagonal = float(np.sqrt(32**2 + 64**2 + 96**2))
    assert diagonal_mm(empty.shape, SPACING) == pytest.approx(diagonal)
    for pair in ((empty, tumour), (tumour, empty)):
        scores = region_scores(*pair, SPACING, 1.0)
        assert scores["dice"] == 0 and scores["nsd"] == 0
        assert scores["hd95_mm"] == pytest.approx(diagonal)


def test_nothing_to_find_and_nothing_found_is_perfect():
    empty = np.zeros((8, 8, 8), bool)
    assert dice(empty, empty) == 1.0
    assert region_scores(empty, empty, SPACING, 1.0) == {
        "dice": 1.0,
        "hd95_mm": 0.0,
        "nsd": 1.0,
        "volume_error_ml": 0.0,
    }


def test_the_empty_space_around_changes_nothing():
    guess, truth = cube((0, 3, 20)), cube((2, 0, 24))
    scores = region_scores(guess, truth, SPACING, 1.5)
    wide = [np.pad(mask, ((9, 2), (0, 5), (7, 0))) for mask in (guess, truth)]
    assert region_scores(*wide, SPACING, 1.5) == pytest.approx(scores)
