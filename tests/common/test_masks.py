"""Masks and labels."""

import numpy as np

from workflow_scripts.common.masks import fill_holes, largest_voxels


def test_holes_take_the_class_of_the_nearest_voxel():
    label = np.zeros((9, 9, 9), np.uint8)
    label[1:8, 1:8, 1:8] = 2
    label[3:6, 3:6, 3:6] = 3
    holed, everywhere = label.copy(), np.ones(label.shape, bool)
    holed[4, 4, 4] = holed[2, 2, 2] = 0
    np.testing.assert_array_equal(fill_holes(holed, everywhere), label)
    # What is open to the outside is no hole, and only what is asked for is filled.
    holed[4, 4, :5] = 0
    assert (fill_holes(holed, everywhere)[4, 4, :5] == 0).all()
    kept = fill_holes(holed, np.zeros(label.shape, bool))
    np.testing.assert_array_equal(kept, holed)


def test_the_largest_voxels_are_those_of_the_highest_positive_score():
    score = np.arange(-4, 4, dtype=np.float32).reshape(2, 2, 2)
    allowed = score != 3
    assert sorted(score[largest_voxels(score, allowed, 1)]) == [2]
    assert sorted(score[largest_voxels(score, allowed, 5)]) == [1, 2]
    assert not largest_voxels(score, allowed, 0).any()
    # Equal scores are taken together.
    score[score == 1] = 2
    assert largest_voxels(score, allowed, 1).sum() == 2
