"""A picture of each patient: each modality in three planes, before and after preprocessing."""

import logging
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import staged
from workflow_scripts.common.words import MODALITIES

PLANES = ("axial", "coronal", "sagittal")
# Grey matter, white matter and CSF.
TISSUE_COLOURS = ((0.55, 0.5, 0.45), (1.0, 1.0, 1.0), (0.15, 0.45, 0.85))
BRAIN_COLOUR, TUMOUR_COLOUR = "#4fc3f7", "#ff5252"
# Font size in points; the report shows pictures at two thirds of their size.
LETTERS, SMALL_LETTERS = 13, 11
# Characters of a line of the title.
TITLE_CHARACTERS = 90


def plane(volume: NDArray, index: Sequence[int], number: int) -> NDArray:
    """The axial (0), coronal (1) or sagittal (2) slice of (X, Y, Z), axes RAS+, through a voxel.

    Show it with the first row at the bottom: front or top is up, and axial and coronal slices
    follow the radiological convention, with the patient's right on the left.
    """
    x, y, z = index
    return (volume[::-1, :, z], volume[::-1, y, :], volume[x, :, :])[number].T


def mark_sides(axes, view: str, size: float, mirrored: bool = False) -> None:
    """Write the patient's R and L, in bold, at the edges of an axial or coronal slice.

    The slice is in the radiological convention or, if ``mirrored``, has the patient's right on the
    right. ``size`` is the font size in points.
    """
    from matplotlib.patheffects import withStroke

    if view == "sagittal":
        return
    outline = [withStroke(linewidth=size / 5, foreground="black")]
    letters = "LR" if mirrored else "RL"
    for letter, x, side in zip(letters, (0.01, 0.99), ("left", "right"), strict=True):
        axes.text(
            x, 0.5, letter, transform=axes.transAxes, ha=side, va="center", color="white",
            fontsize=size, fontweight="bold", path_effects=outline, zorder=9,
        )  # fmt: skip


def name_row(axes, text: str) -> None:
    """Write the name of a row into the corner of its first slice."""
    axes.text(
        0.02, 0.98, text, transform=axes.transAxes, va="top", color="white", fontsize=SMALL_LETTERS
    ).set_in_layout(False)


def add_legend(figure) -> None:
    """Add a legend of lines and colours below the slices."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    lines = {"outline of the brain mask": BRAIN_COLOUR, "outline of the tumour": TUMOUR_COLOUR}
    tissues = ("grey matter", "white matter", "CSF")
    handles = [Line2D([], [], color=colour, label=text) for text, colour in lines.items()]
    handles += [
        Patch(color=colour, label=text)
        for text, colour in zip(tissues, TISSUE_COLOURS, strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), labelcolor="white",
        fontsize=SMALL_LETTERS, frameon=False,
    )  # fmt: skip


def aspect(spacing: Sequence[float], number: int) -> float:
    """Height over width of a plane's voxel."""
    x, y, z = spacing
    return (y / x, z / x, z / y)[number]


def draw_picture(
    path: str | Path,
    title: str,
    stages: Sequence[tuple[str, dict[str, NDArray], NDArray, NDArray, Sequence[float]]],
    tissue: NDArray,
) -> None:
    """Write a PNG. Each stage is (name, volumes by modality, brain, label, spacing in mm), all
    arrays (X, Y, Z); the planes go through the tumour's centroid. Below the last stage are its
    tissue maps (3, X, Y, Z), in ``TISSUE_COLOURS``."""
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    modalities = list(stages[0][1])
    rows = len(modalities) + 1
    size = 2.1 * 3 * len(stages), 2.3 * rows + 0.7
    figure = Figure(figsize=size, facecolor="black", layout="constrained")
    axes = figure.subplots(rows, 3 * len(stages), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for column, (name, volumes, brain, label, spacing) in enumerate(stages):
        centre = np.round(np.argwhere(label > 0).mean(0)).astype(int)
        for row, modality in enumerate(modalities):
            volume = volumes[modality]
            low, high = np.percentile(volume[brain], (1, 99.5))
            for number, view in enumerate(PLANES):
                ax = axes[row, 3 * column + number]
                ax.imshow(
                    plane(volume, centre, number), cmap="gray", vmin=low, vmax=high,
                    origin="lower", aspect=aspect(spacing, number),
                )  # fmt: skip
                for mask, colour in ((brain, BRAIN_COLOUR), (label > 0, TUMOUR_COLOUR)):
                    piece = plane(mask, centre, number)
                    if piece.any() and not piece.all():
                        ax.contour(piece, [0.5], colors=colour, linewidths=0.7)
                mark_sides(ax, view, SMALL_LETTERS)
                if row == 0:
                    ax.set_title(f"{name}, {view}", color="white", fontsize=SMALL_LETTERS)
            name_row(axes[row, 3 * column], MODALITIES.get(modality, modality))
    _, _, _, label, spacing = stages[-1]
    centre = np.round(np.argwhere(label > 0).mean(0)).astype(int)
    coloured = np.einsum("kxyz,kc->xyzc", tissue, TISSUE_COLOURS)
    for number, view in enumerate(PLANES):
        ax = axes[-1, number - len(PLANES)]
        colours = [plane(coloured[..., c], centre, number) for c in range(3)]
        ax.imshow(np.stack(colours, -1), origin="lower", aspect=aspect(spacing, number))
        ax.contour(plane(label > 0, centre, number), [0.5], colors=TUMOUR_COLOUR, linewidths=0.7)
        mark_sides(ax, view, SMALL_LETTERS)
    name_row(axes[-1, -len(PLANES)], "tissue maps, without tumour")
    add_legend(figure)
    lines = [textwrap.fill(line, TITLE_CHARACTERS) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), color="white", fontsize=LETTERS)
    with staged(path) as temporary:
        figure.savefig(temporary, dpi=110, facecolor="black", metadata={"Software": None})
