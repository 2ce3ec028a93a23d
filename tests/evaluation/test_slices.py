"""Figures of slices: whom they show, and the patient's left is where it says L."""

import numpy as np
import pytest

from tests.orientation import SHAPE, left_block, marked_sides
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.evaluation.figure_style import style
from workflow_scripts.evaluation.slice_figures import side_by_side, sweep

GRID = Grid(SHAPE, (5.0, 5.0, 5.0))
LOOK = (GRID, ["flair"], "whole_tumour", "title")


@pytest.fixture
def folder(tmp_path):
    """A patient's folder, whose tumour is the bright block."""
    volume, block = left_block()
    save_patient(tmp_path / "ball-7", volume[None], 2 * block, volume > 0, GRID.affine)
    return tmp_path / "ball-7"


def test_left_and_right_are_where_the_letters_say(folder):
    with style():
        figure = side_by_side([(Patient(folder), Patient(folder, mirrored=True))], *LOOK, ("", ""))
        panels = marked_sides(figure)
    assert len(panels) == 4
    # The mirrored patient has its right on the right.
    for (left, right, block_at), mirrored in zip(panels, (False, False, True, True), strict=True):
        assert (left < right) == mirrored
        assert abs(block_at - left) < abs(block_at - right) - 0.1


def test_left_and_right_of_a_sweep(folder):
    middle = GRID.to_mm(np.argwhere(left_block()[1]).mean(axis=0, keepdims=True))
    with style():
        panels = marked_sides(sweep([Patient(folder)], ["asked"], middle, *LOOK))
    assert len(panels) == 2
    for left, right, block_at in panels:
        assert right < 0.5 < block_at < left


def test_patients_are_named_unless_they_are_numbered(folder):
    def corners(numbered):
        pair = (Patient(folder), Patient(folder))
        figure = side_by_side([pair], *LOOK, ("", ""), numbered=numbered)
        return [
            text.get_text()
            for axes in figure.axes
            for text in axes.texts
            if "mL" in text.get_text()
        ]

    with style():
        assert corners(False) == ["ball-7\n11 mL"] * 2
        assert corners(True) == ["1: 11 mL", "2: 11 mL"]
