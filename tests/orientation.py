"""A patient whose left is known by a bright block, and on which side a figure shows it."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

SHAPE = (24, 28, 20)


def left_block() -> tuple[NDArray, NDArray]:
    """A brain's volume with a bright block in the patient's left half, and the block (X, Y, Z).

    Axes are RAS+: the first voxels along x are the patient's left.
    """
    block = np.zeros(SHAPE, bool)
    block[5:8, 10:16, 8:13] = True
    brain = np.zeros(SHAPE, np.float32)
    brain[3:-3, 3:-3, 3:-3] = 0.2
    return np.where(block, 1, brain).astype(np.float32), block


def marked_sides(figure: Figure) -> list[tuple[float, float, float]]:
    """Of each panel with L and R: where they stand, and where its white pixels are on average, all
    from 0 on the picture's left to 1 on its right.

    The letters are told from the block by what is white without any text.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    marked = []
    for axes in figure.axes:
        box = axes.get_window_extent()
        letters = {text.get_text(): text for text in axes.texts if text.get_text() in "LR"}
        if letters:
            assert all(text.get_fontweight() == "bold" for text in letters.values())
            ends = [letters[name].get_window_extent() for name in "LR"]
            marked.append((box, [((e.x0 + e.x1) / 2 - box.x0) / box.width for e in ends]))
        for text in [*axes.texts, axes.title, axes._left_title]:
            text.set_visible(False)
    canvas.draw()
    # Rows from the bottom, as the boxes count them.
    white = (np.asarray(canvas.buffer_rgba())[::-1, :, :3] > 220).all(axis=-1)
    found = []
    for box, (left, right) in marked:
        panel = white[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        assert panel.any()
        found.append((left, right, float(np.argwhere(panel)[:, 1].mean() / panel.shape[1])))
    return found
