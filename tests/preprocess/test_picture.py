"""The picture of a patient's preprocessing: the patient's left is where it says L."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.orientation import left_block, marked_sides
from workflow_scripts.preprocess.picture import draw_picture


@pytest.fixture()
def figure_of(tmp_path, monkeypatch):
    """Draw the picture of a block on the left with a title; returns its figure."""
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))
    )
    volume, block = left_block()
    stage = {"flair": volume}, volume > 0, block.astype(np.uint8), (1.0, 1.0, 1.0)
    tissue = np.stack([np.zeros_like(volume), 0.9 * block + 0.05, np.zeros_like(volume)])

    def draw(title):
        path = tmp_path / "picture.png"
        draw_picture(path, title, [("before", *stage), ("after", *stage)], tissue)
        return drawn[-1]

    return draw


def test_a_long_warning_is_not_cut_off(figure_of):
    warning = "flair: hardly fits t1ce; it may be registered wrongly, or be another patient's; " * 3
    figure = figure_of("patient\n" + warning)
    low, _, high, _ = figure._suptitle.get_window_extent().extents
    assert 0 < low < high < figure.bbox.width


def test_left_and_right_are_where_the_letters_say(figure_of):
    panels = marked_sides(figure_of("block"))
    # Axial and coronal: before, after, and the tissue maps.
    assert len(panels) == 6
    for left, right, block_at in panels:
        assert right < 0.1 < 0.9 < left
        assert 0.6 < block_at < 0.9
