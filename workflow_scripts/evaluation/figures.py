"""Figures of a run. Each function draws one and returns it; the rule saves them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import regions
from workflow_scripts.common.patients import Patient
from workflow_scripts.evaluation.evaluate_adherence import fit_line
from workflow_scripts.evaluation.statistics import bootstrap_interval, per_patient
from workflow_scripts.segmentation.volumes import reference_masks

# Okabe & Ito's colours, which the colour-blind can tell apart.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442"]
REGION_COLOURS = {"WT": "#FFB000", "TC": "#FE6100", "ET": "#DC267F"}
ARM_COLOURS = {
    "real": "#999999",
    "real+classical": "#0072B2",
    "real+synthetic": "#E69F00",
    "real+classical+synthetic": "#009E73",
}
STYLE = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
}
# Axes shown to the right and upwards, and the axis that is cut.
PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
ATTRIBUTE_NAMES = {
    "volume_ml": "Volume (mL)",
    "centroid_x_mm": "Centroid x (mm)",
    "centroid_y_mm": "Centroid y (mm)",
    "centroid_z_mm": "Centroid z (mm)",
    "sphericity": "Sphericity",
}
MODALITY_NAMES = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}


def style() -> AbstractContextManager:
    """The look that all figures share, as a context."""
    return matplotlib.rc_context(STYLE)


def _histories(axes, tables: dict[str, pd.DataFrame], column: str, colours: dict[str, str]) -> None:
    for name, table in tables.items():
        rows = table.dropna(subset=[column])
        marker = {"marker": "o", "markersize": 3.5} if len(rows) < 20 else {}
        axes.plot(rows["step"], rows[column], color=colours[name], lw=1.3, label=name, **marker)
    axes.set(xlabel="optimiser step")


def training_curves(
    generators: dict[str, dict[str, pd.DataFrame]],
    segmentations: dict[tuple[str, str], pd.DataFrame],
) -> Figure:
    """Losses by step: autoencoder and diffusion by split, segmentation by arm, validation Dice.

    ``generators`` maps a stage to its histories by split, ``segmentations`` (split, arm) to one;
    of the latter, splits are averaged.
    """
    figure = Figure(figsize=(9.5, 6.2))
    axes = figure.subplots(2, 2)
    for panel, (stage, tables) in zip(axes[0], generators.items(), strict=True):
        colours = dict(zip(tables, COLOURS * len(tables), strict=False))
        _histories(panel, tables, "loss", colours)
        panel.set(title=stage.capitalize(), ylabel="loss", yscale="log")
        panel.legend()
    arms = list(dict.fromkeys(arm for _, arm in segmentations))
    means = {
        arm: pd.concat([t for (_, a), t in segmentations.items() if a == arm])
        .groupby("step", as_index=False)
        .mean()
        for arm in arms
    }
    for panel, column, title, name in (
        (axes[1, 0], "loss", "Segmentation", "loss"),
        (axes[1, 1], "validation_dice", "Segmentation, validation patients", "Dice"),
    ):
        _histories(panel, means, column, ARM_COLOURS)
        panel.set(title=title, ylabel=name)
    axes[1, 0].legend()
    return figure


def _box(patients: Sequence[Patient]) -> list[slice]:
    """The box that holds all brains, with a voxel to spare."""
    brain = np.any([patient.brain() for patient in patients], axis=0)
    found = np.argwhere(brain)
    low, high = np.maximum(found.min(0) - 1, 0), found.max(0) + 2
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
) -> None:
    """Draw one slice with its contours in the middle of a frame of that width and height."""
    right, up, cut = PLANES[plane]

    def section(array: NDArray) -> NDArray:
        return np.take(array, index, axis=cut)[box[right], box[up]].T

    image = section(volume)
    extent = (0, image.shape[1] * spacing[right], 0, image.shape[0] * spacing[up])
    place = {"origin": "lower", "extent": extent}
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="bicubic", **place)
    for mask, name in zip(masks, names, strict=True):
        inside = section(mask).astype(float)
        if inside.any():
            axes.contour(inside, [0.5], colors=REGION_COLOURS[name], linewidths=0.9, **place)
    low, high = (np.array([extent[1], extent[3]]) + s * np.array(frame_mm) for s in (-1, 1))
    axes.set(aspect="equal", xlim=(low[0] / 2, high[0] / 2), ylim=(low[1] / 2, high[1] / 2))
    axes.axis("off")


def _middle(patient: Patient) -> NDArray[np.int64]:
    """Voxel in which the tumour is cut: in each axis, the slice that has most of it."""
    label = patient.label() > 0
    if not label.any():
        label = patient.brain()
    return np.array([label.sum(axis=others).argmax() for others in ((1, 2), (0, 2), (0, 1))])


def _legend(figure: Figure, names: Sequence[str]) -> None:
    lines = [Line2D([], [], color=REGION_COLOURS[name], lw=2, label=name) for name in names]
    figure.legend(
        handles=lines,
        loc="outside lower center",
        ncols=len(lines),
        labelcolor="white",
        fontsize=9,
        title_fontproperties={"size": 9},
    )


def _canvas(widths: Sequence[float], heights: Sequence[float], width_in: float, title: str):
    """A black figure of panels in these proportions, in millimetres, and its axes."""
    scale = width_in / sum(widths)
    figure = Figure(figsize=(width_in, sum(heights) * scale * 1.03 + 1.1), facecolor="black")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.04, wspace=0.01, hspace=0.01)
    figure.suptitle(title, color="white", fontsize=11)
    ratios = {"width_ratios": widths, "height_ratios": heights}
    axes = figure.subplots(len(heights), len(widths), squeeze=False, gridspec_kw=ratios)
    for panel in axes.flat:
        panel.axis("off")
    return figure, axes


def _sides(box: list[slice], spacing: Sequence[float]) -> NDArray[np.float64]:
    return np.array([b.stop - b.start for b in box]) * np.array(spacing)


def _views(modalities: Sequence[str]) -> list[tuple[int, str]]:
    """What is shown of a patient: three planes of the first modality, one of the second."""
    return [(0, plane) for plane in PLANES] + [(1, "axial")] * (len(modalities) > 1)


def _corner(axes, text: str) -> None:
    axes.text(
        0.02, 0.98, text, color="white", fontsize=8, va="top", transform=axes.transAxes, zorder=9
    )


def real_and_synthetic(
    pairs: Sequence[tuple[Patient, Patient]],
    grid: Grid,
    modalities: Sequence[str],
    labels: str,
    title: str,
) -> Figure:
    """Real patients on the left, synthetic ones on the right, cut through the tumour's middle.

    A row for each pair; a column for each plane of the first modality, and the axial plane of
    the second, where there is one.
    """
    box, names = _box([patient for pair in pairs for patient in pair]), list(regions(labels))
    sides, views = _sides(box, grid.spacing_mm), _views(modalities)
    widths = [sides[PLANES[plane][0]] for _, plane in views]
    heights = [max(sides[1], sides[2])] * len(pairs)
    figure, axes = _canvas([*widths, 0.12 * sides[0], *widths], heights, 13, title)
    for row, pair in enumerate(pairs):
        for first, patient in zip((0, len(views) + 1), pair, strict=True):
            image, middle = patient.image(), _middle(patient)
            masks = reference_masks(patient.label(), labels)
            for column, (m, plane) in enumerate(views, first):
                index = int(middle[PLANES[plane][2]])
                _draw_slice(
                    axes[row, column],
                    image[m],
                    masks,
                    plane,
                    index,
                    grid.spacing_mm,
                    box,
                    names,
                    (sides[PLANES[plane][0]], heights[row]),
                )
            _corner(axes[row, first], f"{(patient.label() > 0).sum() * grid.voxel_ml:.0f} mL")
    for first, head in ((0, "REAL, never trained on"), (len(views) + 1, "SYNTHETIC")):
        for column, (m, plane) in enumerate(views, first):
            above = f"{head}\n" if column == first else ""
            text = f"{above}{MODALITY_NAMES[modalities[m]]}, {plane}"
            axes[0, column].set_title(text, color="white", fontsize=8.5, loc="left")
    _legend(figure, names)
    return figure


def size_sweep(
    patients: Sequence[Patient],
    requested_ml: Sequence[float],
    centre_mm: NDArray[np.float64],
    grid: Grid,
    modalities: Sequence[str],
    labels: str,
    title: str,
) -> Figure:
    """Tumours of growing size at one place: a column for each request, cut through that place.

    Three planes of the first modality, then the axial plane of the second, where there is one.
    """
    box, names = _box(patients), list(regions(labels))
    sides, views = _sides(box, grid.spacing_mm), _views(modalities)
    heights = [sides[PLANES[plane][1]] for _, plane in views]
    width = max(sides[PLANES[plane][0]] for _, plane in views)
    figure, axes = _canvas([width] * len(patients), heights, 2.0 * len(patients), title)
    voxel = np.clip(np.round(grid.to_voxel(centre_mm[None])[0]), 0, np.array(grid.shape) - 1)
    for column, (patient, request) in enumerate(zip(patients, requested_ml, strict=True)):
        image, masks = patient.image(), reference_masks(patient.label(), labels)
        measured = (patient.label() > 0).sum() * grid.voxel_ml
        for row, (m, plane) in enumerate(views):
            index = int(voxel[PLANES[plane][2]])
            _draw_slice(
                axes[row, column],
                image[m],
                masks,
                plane,
                index,
                grid.spacing_mm,
                box,
                names,
                (width, heights[row]),
            )
            if column == 0:
                _corner(axes[row, 0], f"{MODALITY_NAMES[modalities[m]]}, {plane}")
        axes[0, column].set_title(
            f"asked {request:.0f} mL\nmade {measured:.0f} mL", color="white", fontsize=9
        )
    _legend(figure, names)
    return figure


def adherence_scatter(tables: dict[str, pd.DataFrame]) -> Figure:
    """Measured against requested attributes of each split's synthetic patients."""
    figure = Figure(figsize=(13, 3.1))
    axes = figure.subplots(1, len(ATTRIBUTE_NAMES))
    for panel, (name, title) in zip(axes, ATTRIBUTE_NAMES.items(), strict=True):
        every = pd.concat(tables.values())
        values = every[[f"requested_{name}", f"measured_{name}"]].to_numpy()
        if name == "volume_ml":
            panel.set(xscale="log", yscale="log")
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(ScalarFormatter())
                axis.set_minor_locator(NullLocator())
            low, high = max(values.min(), 0.5) / 1.3, values.max() * 1.3
        else:
            pad = 0.06 * np.ptp(values) + 1e-6
            low, high = values.min() - pad, values.max() + pad
        panel.plot([low, high], [low, high], color="#888888", lw=1, ls=(0, (4, 3)), zorder=1)
        for (split, table), colour in zip(tables.items(), COLOURS * len(tables), strict=False):
            panel.scatter(
                table[f"requested_{name}"],
                table[f"measured_{name}"],
                s=20,
                color=colour,
                alpha=0.75,
                linewidths=0.4,
                edgecolors="white",
                label=split,
                zorder=2,
            )
        slope, r2 = fit_line(values[:, 0], values[:, 1])
        panel.text(
            0.05,
            0.95,
            f"slope {slope:.2f}\nR² {r2:.2f}",
            transform=panel.transAxes,
            va="top",
            fontsize=8.5,
            color="#222222",
        )
        panel.set(title=title, xlabel="requested", xlim=(low, high), ylim=(low, high))
        panel.set_box_aspect(1)
    axes[0].set_ylabel("measured")
    if len(tables) > 1:
        axes[-1].legend(fontsize=7, loc="lower right")
    return figure


def dice_by_arm(
    scores: pd.DataFrame, arms: Sequence[str], resamplings: int, confidence: float, seed: int
) -> Figure:
    """Each test patient's Dice (seeds averaged), and the mean with its bootstrap interval.

    A row of panels for each region, a column for each number of training patients.
    """
    table = per_patient(scores, ["dice"])
    names, sizes = list(dict.fromkeys(scores["region"])), sorted(table["n"].unique())
    figure = Figure(figsize=(1.2 + 3.9 * len(sizes), 0.6 + 3.3 * len(names)))
    axes = figure.subplots(len(names), len(sizes), squeeze=False, sharey=True)
    rng = np.random.default_rng(seed)
    for row, region in enumerate(names):
        for column, n in enumerate(sizes):
            panel = axes[row, column]
            chosen = table[(table["region"] == region) & (table["n"] == n)]
            wide = chosen.pivot(index="patient_id", columns="arm", values="dice")
            shown = [arm for arm in arms if arm in wide]
            spread = rng.uniform(-0.13, 0.13, len(wide))
            places = np.arange(len(shown)) + spread[:, None]
            panel.plot(places.T, wide[shown].to_numpy().T, color="#DDDDDD", lw=0.6, zorder=1)
            for x, arm in enumerate(shown):
                values, colour = wide[arm].to_numpy(), ARM_COLOURS[arm]
                low, high = bootstrap_interval(values, resamplings, confidence, seed)
                panel.scatter(
                    x + spread, values, s=16, color=colour, alpha=0.65, linewidths=0, zorder=2
                )
                panel.plot([x, x], [low, high], color="#222222", lw=2, zorder=3)
                panel.plot(
                    x, values.mean(), "o", ms=7, color=colour, mec="#222222", mew=1.3, zorder=4
                )
                panel.text(
                    x + 0.2,
                    values.mean(),
                    f"{values.mean():.2f}",
                    fontsize=8,
                    va="center",
                    zorder=5,
                    bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
                )
            labels = [arm.replace("+", "\n+ ") for arm in shown]
            panel.set_xticks(range(len(shown)), labels)
            panel.set(ylim=(-0.03, 1.03), xlim=(-0.5, len(shown) - 0.4))
            panel.set_title(f"{region}, {n} training patients")
            panel.grid(axis="x", visible=False)
        axes[row, 0].set_ylabel("Dice")
    return figure
