"""The picture of a patient's preprocessing: the patient's left is where it says L."""

import numpy as np
from matplotlib.figure import Figure

from tests.orientation import left_block, marked_sides
from workflow_scripts.preprocess.picture import draw_picture


def test_left_and_right_are_where_the_letters_say(tmp_path, monkeypatch):
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))
    )
    volume, block = left_block()
    stage = {"flair": volume}, volume > 0, block.astype(np.uint8), (1.0, 1.0, 1.0)
    tissue = np.stack([np.zeros_like(volume), 0.9 * block + 0.05, np.zeros_like(volume)])
    draw_picture(tmp_path / "picture.png", "ball", [("before", *stage), ("after", *stage)], tissue)
    panels = marked_sides(drawn[0])
    # Axial and coronal: before, after, and the tissue maps.
    assert len(panels) == 6
    for left, right, block_at in panels:
        assert right < 0.1 < 0.9 < left
        assert 0.6 < block_at < 0.9
