"""Official scores of masks whose answers are known."""

import numpy as np
import pytest

from workflow_scripts.segmentation.metrics import region_scores
from workflow_scripts.segmentation.official_metrics import image_scores, lesion_scores

SPACING = (1.0, 1.0, 2.0)
SHAPE = (40, 40, 24)


def boxes(*corners, side=4):
    """A mask with a cube of ``side`` voxels at each corner."""
    mask = np.zeros(SHAPE, bool)
    for x, y, z in corners:
        mask[x : x + side, y : y + side, z : z + side] = True
    return mask


def counts(scores):
    return tuple(scores[f"lesion_{name}"] for name in ("tp", "fp", "fn"))


ONE, TWO, THREE = (4, 4, 4), (20, 20, 10), (30, 4, 16)


def test_what_is_found_exactly_scores_perfectly():
    scores = lesion_scores(boxes(ONE, TWO), boxes(ONE, TWO), SPACING)
    assert counts(scores) == (2, 0, 0)
    assert (scores["lesion_dice"], scores["lesion_hd95_mm"], scores["lesion_nsd"]) == (1, 0, 1)
    whole = image_scores(boxes(ONE, TWO), boxes(ONE, TWO))
    assert list(whole.values()) == [1.0, 0.0, 1.0]


def test_a_missed_lesion_is_counted_and_leaves_the_means_alone():
    scores = lesion_scores(boxes(ONE), boxes(ONE, TWO), SPACING)
    assert counts(scores) == (1, 0, 1)
    assert scores["lesion_dice"] == 1 and scores["lesion_hd95_mm"] == 0
    whole = image_scores(boxes(ONE), boxes(ONE, TWO))
    assert whole["official_dice"] == pytest.approx(2 / 3)
    # All borders of the prediction are found, and half of the reference's.
    assert whole["official_nsd"] == pytest.approx(0.75)


def test_an_extra_lesion_is_counted():
    scores = lesion_scores(boxes(ONE, TWO, THREE), boxes(ONE, TWO), SPACING)
    assert counts(scores) == (2, 1, 0) and scores["lesion_dice"] == 1


def test_two_lesions_that_are_merged_make_one_pair():
    truth = boxes((4, 4, 4), (12, 4, 4))
    truth[12:16, 4:8, 8] = True  # the second has 80 voxels, the first 64
    guess = np.zeros(SHAPE, bool)
    guess[4:16, 4:8, 4:8] = True
    scores = lesion_scores(guess, truth, SPACING)
    assert counts(scores) == (1, 0, 1)
    # The first has the larger Dice with the 192 voxels of the prediction.
    assert scores["lesion_dice"] == pytest.approx(2 * 64 / (192 + 64))


def test_pairs_have_the_largest_sum_of_dice_not_the_best_pair_first():
    """The best pair, of the first prediction and the second lesion, would leave the others."""
    truth, guess = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    truth[0:10, 0, 0] = truth[12:22, 0, 0] = True
    guess[4:19, 0, 0] = True  # shares 6 voxels with the first, 7 with the second
    guess[20:22, 0, 0] = True  # shares 2 with the second
    scores = lesion_scores(guess, truth, SPACING)
    assert counts(scores) == (2, 0, 0)
    assert scores["lesion_dice"] == pytest.approx((2 * 6 / 25 + 2 * 2 / 12) / 2)


def test_voxels_that_touch_by_a_corner_are_one_lesion():
    truth = boxes((4, 4, 4), (8, 8, 8))
    assert counts(lesion_scores(truth, truth, SPACING)) == (1, 0, 0)


def test_a_shift_in_voxels_and_in_millimetres():
    guess, truth = boxes((4, 4, 4)), boxes((4, 4, 6))
    whole = image_scores(guess, truth)
    assert whole["official_dice"] == 0.5 and whole["official_hd95_voxels"] == 2.0
    lesions = lesion_scores(guess, truth, SPACING)
    assert lesions["lesion_dice"] == 0.5 and lesions["lesion_hd95_mm"] == 4.0


def test_distances_of_both_directions_are_pooled():
    """A rod with an end that sticks out: its voxels are far, few, and on one side alone."""
    truth, guess = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    truth[0:30, 0, 0] = guess[0:33, 0, 0] = True
    distances = [0] * 30 + [1, 2, 3] + [0] * 30
    whole = image_scores(guess, truth)
    assert whole["official_hd95_voxels"] == pytest.approx(np.percentile(distances, 95))
    # The larger of both directions, as in template space, is another number.
    theirs = region_scores(guess, truth, (1.0, 1.0, 1.0), 1.0)["hd95_mm"]
    assert theirs == pytest.approx(np.percentile(distances[:33], 95))


def test_the_smallest_side_of_a_voxel_is_the_tolerance_of_a_lesion():
    truth, guess = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    truth[0:10, 5, 5] = guess[0:10, 6, 5] = True
    assert lesion_scores(guess, truth, SPACING)["lesion_dice"] == 0.0  # no voxel in common
    truth[0, 6, 5] = True
    assert lesion_scores(guess, truth, SPACING)["lesion_nsd"] == 1.0  # 1 mm apart
    assert lesion_scores(guess, truth, (0.5, 2.0, 1.0))["lesion_nsd"] < 0.5  # 2 mm apart


def test_voxel_sides_in_single_precision_are_within_the_tolerance():
    truth, guess = boxes(ONE, side=5), boxes(ONE, side=6)
    exact = lesion_scores(guess, truth, (0.8, 0.8, 0.8))
    rounded = lesion_scores(guess, truth, (0.8, 0.80000001, 0.79999999))
    assert rounded["lesion_nsd"] == exact["lesion_nsd"]


@pytest.mark.parametrize("guess, truth", [((), (ONE,)), ((ONE,), ()), ((ONE,), (TWO,))])
def test_without_a_pair_scores_are_the_worst(guess, truth):
    guess, truth = boxes(*guess), boxes(*truth)
    scores = lesion_scores(guess, truth, SPACING)
    assert counts(scores) == (0, int(guess.any()), int(truth.any()))
    assert list(scores.values())[3:] == [0.0, np.inf, 0.0]
    whole = image_scores(guess, truth)
    assert whole["official_dice"] == whole["official_nsd"] == 0.0
    assert np.isinf(whole["official_hd95_voxels"]) == (not (guess.any() and truth.any()))


def test_nothing_to_find_and_nothing_found_is_no_score():
    empty = np.zeros(SHAPE, bool)
    scores = lesion_scores(empty, empty, SPACING)
    assert counts(scores) == (0, 0, 0)
    assert np.isnan(list(scores.values())[3:]).all()
    assert np.isnan(list(image_scores(empty, empty).values())).all()


def test_the_empty_space_around_and_the_order_of_axes_change_nothing():
    rng = np.random.default_rng(0)
    guess, truth = (boxes(*rng.integers(0, 18, (4, 3))) for _ in range(2))
    scores = image_scores(guess, truth) | lesion_scores(guess, truth, SPACING)
    wide = [np.pad(mask, 9) for mask in (guess, truth)]
    assert image_scores(*wide) | lesion_scores(*wide, SPACING) == pytest.approx(scores)
    turned = [mask.transpose(2, 0, 1) for mask in (guess, truth)]
    assert image_scores(*turned) | lesion_scores(*turned, (2.0, 1.0, 1.0)) == pytest.approx(scores)
