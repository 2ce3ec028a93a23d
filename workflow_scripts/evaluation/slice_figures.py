"""Figures of slices. Each function draws one figure and returns it; the rule saves it."""

import functools
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import regions
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.words import MODALITIES, region_words
from workflow_scripts.preprocess.picture import mark_sides
from workflow_scripts.segmentation.blocks import reference_masks

REGION_COLOURS = {"WT": "#FFB000", "TC": "#FE6100", "ET": "#DC267F"}
# Horizontal, vertical and cut axis of each plane. x points left: the patient's right is on the
# left.
PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}


def _box(patients: Sequence[Patient]) -> list[slice]:
    """The bounding box of all brains, with a margin of one voxel."""
    brain = np.any([patient.brain() for patient in patients], axis=0)
    voxels = np.argwhere(brain)
    low, high = np.maximum(voxels.min(0) - 1, 0), voxels.max(0) + 2
    return [slice(a, b) for a, b in zip(low, high, strict=True)]


def _draw_slice(
    axes,
    volume: NDArray,
    masks: NDArray[np.bool_],
    plane: str,
    index: int,
    spacing: Sequence[float],
    box: list[slice],
    names: Sequence[str],
    frame_mm: tuple[float, float],
    mirrored: bool = False,
) -> None:
    """Draw a slice with its contours in the centre of a frame of ``frame_mm``.

    The arrays of a ``mirrored`` patient have left and right swapped.
    """
    across, up, cut = PLANES[plane]

    def section(array: NDArray) -> NDArray:
        pixels = np.take(array, index, axis=cut)[box[across], box[up]].T
        return pixels[:, ::-1] if across == 0 else pixels

    image = section(volume)
    extent = (0, image.shape[1] * spacing[across], 0, image.shape[0] * spacing[up])
    options = {"origin": "lower", "extent": extent}
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="bicubic", **options)
    for mask, name in zip(masks, names, strict=True):
        inside = section(mask).astype(float)
        if inside.any():
            axes.contour(inside, [0.5], colors=REGION_COLOURS[name], linewidths=0.9, **options)
    low, high = (np.array([extent[1], extent[3]]) + s * np.array(frame_mm) for s in (-1, 1))
    axes.set(aspect="equal", xlim=(low[0] / 2, high[0] / 2), ylim=(low[1] / 2, high[1] / 2))
    mark_sides(axes, plane, 11, mirrored)
    axes.axis("off")


def _middle(patient: Patient) -> NDArray[np.int64]:
    """Voxel through which the tumour is cut: along each axis, the slice with most tumour."""
    label = patient.label() > 0
    if not label.any():
        label = patient.brain()
    return np.array([label.sum(axis=others).argmax() for others in ((1, 2), (0, 2), (0, 1))])


def _legend(figure: Figure, names: Sequence[str]) -> None:
    lines = [
        Line2D([], [], color=REGION_COLOURS[name], lw=2, label=region_words(name)) for name in names
    ]
    options = {"loc": "outside lower center", "ncols": len(lines)}
    figure.legend(handles=lines, labelcolor="white", fontsize=11, **options)


def _canvas(widths: Sequence[float], heights: Sequence[float], width_in: float, title: str):
    """A black figure with panels of these sizes in millimetres, and its axes."""
    scale = width_in / sum(widths)
    figure = Figure(figsize=(width_in, sum(heights) * scale * 1.03 + 1.1), facecolor="black")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.04, wspace=0.01, hspace=0.01)
    figure.suptitle(title, color="white", fontsize=13)
    ratios = {"width_ratios": widths, "height_ratios": heights}
    axes = figure.subplots(len(heights), len(widths), squeeze=False, gridspec_kw=ratios)
    for panel in axes.flat:
        panel.axis("off")
    return figure, axes


def _sides(box: list[slice], spacing: Sequence[float]) -> NDArray[np.float64]:
    return np.array([b.stop - b.start for b in box]) * np.array(spacing)


def _views(modalities: Sequence[str]) -> list[tuple[int, str]]:
    """The panels of a patient: three planes of the first modality, one of the second."""
    return [(0, plane) for plane in PLANES] + [(1, "axial")] * (len(modalities) > 1)


def _corner(axes, text: str) -> None:
    axes.text(
        0.02, 0.98, text, color="white", fontsize=10, va="top", transform=axes.transAxes, zorder=9
    )


def side_by_side(
    pairs: Sequence[tuple[Patient, Patient]],
    grid: Grid,
    modalities: Sequence[str],
    labels: str,
    title: str,
    heads: tuple[str, str],
    same_cut: bool = False,
    contours: bool = True,
    numbered: bool = False,
) -> Figure:
    """Two patients per row, each cut through its tumour, or both through the first one's.

    ``heads`` are the titles of the left and the right patients. There is a column for each plane of
    the first modality, and one for the axial plane of the second, if there is one. ``contours``
    outlines the tumours. Each patient is labelled with its name and its tumour's volume, or if
    ``numbered`` with a number from 1, row by row.
    """
    box = _box([patient for pair in pairs for patient in pair])
    names = list(regions(labels)) if contours else []
    sides, views = _sides(box, grid.spacing_mm), _views(modalities)
    widths = [sides[PLANES[plane][0]] for _, plane in views]
    heights = [max(sides[1], sides[2])] * len(pairs)
    figure, axes = _canvas([*widths, 0.12 * sides[0], *widths], heights, 13, title)
    draw = functools.partial(_draw_slice, spacing=grid.spacing_mm, box=box, names=names)
    for row, pair in enumerate(pairs):
        for side, patient in enumerate(pair):
            first = side * (len(views) + 1)
            image, middle = patient.image(), _middle(pair[0] if same_cut else patient)
            masks = reference_masks(patient.label(), labels)[: len(names)]
            for column, (m, plane) in enumerate(views, first):
                index, frame_mm = (
                    int(middle[PLANES[plane][2]]),
                    (sides[PLANES[plane][0]], heights[row]),
                )
                options = {"frame_mm": frame_mm, "mirrored": patient.mirrored}
                draw(axes[row, column], image[m], masks, plane, index, **options)
            volume = f"{(patient.label() > 0).sum() * grid.voxel_ml:.0f} mL"
            # A name would reveal the group of numbered patients.
            name = f"{2 * row + side + 1}: " if numbered else f"{patient.patient_id}\n"
            _corner(axes[row, first], name + volume + ", mirrored" * patient.mirrored)
    for first, head in zip((0, len(views) + 1), heads, strict=True):
        for column, (m, plane) in enumerate(views, first):
            above = f"{head}\n" if column == first else ""
            text = f"{above}{MODALITIES[modalities[m]]}, {plane}"
            axes[0, column].set_title(text, color="white", fontsize=11, loc="left")
    if contours:
        _legend(figure, names)
    return figure


def sweep(
    patients: Sequence[Patient],
    headings: Sequence[str],
    centres_mm: NDArray[np.float64],
    grid: Grid,
    modalities: Sequence[str],
    labels: str,
    title: str,
) -> Figure:
    """Tumours that differ in one attribute: one column per request, cut through its centroid
    (N, 3).

    Three planes of the first modality, then the axial plane of the second, if there is one.
    """
    box, names = _box(patients), list(regions(labels))
    sides, views = _sides(box, grid.spacing_mm), _views(modalities)
    heights = [sides[PLANES[plane][1]] for _, plane in views]
    width = max(sides[PLANES[plane][0]] for _, plane in views)
    figure, axes = _canvas([width] * len(patients), heights, 2.0 * len(patients), title)
    draw = functools.partial(_draw_slice, spacing=grid.spacing_mm, box=box, names=names)
    voxels = np.clip(np.round(grid.to_voxel(centres_mm)), 0, np.array(grid.shape) - 1).astype(int)
    for column, (patient, heading) in enumerate(zip(patients, headings, strict=True)):
        image, masks = patient.image(), reference_masks(patient.label(), labels)
        measured = (patient.label() > 0).sum() * grid.voxel_ml
        for row, (m, plane) in enumerate(views):
            index, frame_mm = voxels[column, PLANES[plane][2]], (width, heights[row])
            draw(axes[row, column], image[m], masks, plane, index, frame_mm=frame_mm)
            if column == 0:
                _corner(axes[row, 0], f"{MODALITIES[modalities[m]]}, {plane}")
        axes[0, column].set_title(
            f"{heading}\nmeasured {measured:.0f} mL", color="white", fontsize=10
        )
    _legend(figure, names)
    return figure
