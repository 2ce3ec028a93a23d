"""Plots. Each function draws one figure and returns it; the rule saves it."""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from workflow_scripts.common.words import region_words, split_words
from workflow_scripts.evaluation.adherence import fit_line, rows_with
from workflow_scripts.evaluation.figure_style import note
from workflow_scripts.evaluation.statistics import crossed_mean, patients_by_seeds, per_patient

# Okabe & Ito's colours, which are distinguishable with colour blindness.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442"]
ARM_COLOURS = {
    "real": "#999999",
    "real+classical": "#0072B2",
    "real+synthetic": "#E69F00",
    "real+classical+synthetic": "#009E73",
    "real+classical+synthetic_first": "#44AA99",
    "real+classical+implanted": "#D55E00",
    "real+classical+phantoms": "#CC79A7",
    "real+classical+copies": "#56B4E9",
    "real+classical+gan3d": "#882255",
    "real+classical+ldm3d": "#332288",
    "real+classical+cutmix": "#F0E442",
    "real+classical+carvemix": "#000000",
    "real+classical+tumorcp": "#8B5A2B",
}

ATTRIBUTE_NAMES = {
    "volume_ml": "Volume (mL)",
    "centroid_x_mm": "Centroid x (mm)",
    "centroid_y_mm": "Centroid y (mm)",
    "centroid_z_mm": "Centroid z (mm)",
    "sphericity": "Sphericity",
    "core_share": "Share of core",
    "enhancing_share": "Share of enhancing tumour",
}


def arm_colour(arm: str) -> str:
    """An arm's colour, the same in all figures; arms of many words share those of ``COLOURS``."""
    return ARM_COLOURS.get(arm) or COLOURS[zlib.crc32(arm.encode()) % len(COLOURS)]


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

    ``generators`` maps a stage to its histories by split, ``segmentations`` maps (split, arm) to a
    history; these are averaged over splits.
    """
    figure = Figure(figsize=(9.5, 6.2))
    axes = figure.subplots(2, 2)
    for panel, (stage, tables) in zip(axes[0], generators.items(), strict=True):
        tables = {split_words(split): table for split, table in tables.items()}
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
        _histories(panel, means, column, {arm: arm_colour(arm) for arm in arms})
        panel.set(title=title, ylabel=name)
    axes[1, 0].legend()
    return figure


def adherence_scatter(tables: dict[str, pd.DataFrame]) -> Figure:
    """Measured against requested attributes of the tumours in each split's first draws.

    Volumes have logarithmic axes.
    """
    tables = {split: table[table["first_volume_ml"] > 0] for split, table in tables.items()}
    if not any(map(len, tables.values())):
        return note("No synthetic patient has a tumour")
    every = pd.concat(tables.values())
    # Regions are requested and labelled in some runs only.
    shown = {
        n: t for n, t in ATTRIBUTE_NAMES.items() if len(rows_with(rows_with(every, n), n, "first"))
    }
    figure = Figure(figsize=(2.6 * len(shown), 3.1))
    axes = figure.subplots(1, len(shown))
    for panel, (name, title) in zip(axes, shown.items(), strict=True):
        values = every[[f"requested_{name}", f"first_{name}"]].dropna().to_numpy()
        if name == "volume_ml":
            panel.set(xscale="log", yscale="log")
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(ScalarFormatter())
                axis.set_minor_locator(NullLocator())
            low, high = values.min() / 1.3, values.max() * 1.3
        else:
            pad = 0.06 * np.ptp(values) + 1e-6
            low, high = values.min() - pad, values.max() + pad
        panel.plot([low, high], [low, high], color="#888888", lw=1, ls=(0, (4, 3)), zorder=1)
        for (split, table), colour in zip(tables.items(), COLOURS * len(tables), strict=False):
            panel.scatter(
                table[f"requested_{name}"],
                table[f"first_{name}"],
                s=20,
                color=colour,
                alpha=0.75,
                linewidths=0.4,
                edgecolors="white",
                label=split_words(split),
                zorder=2,
            )
        fitted = np.log(values) if name == "volume_ml" else values
        slope, r2 = fit_line(fitted[:, 0], fitted[:, 1])
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


def mean_interval(
    scores: pd.DataFrame, n: int, region: str, arm: str, confidence: float
) -> tuple[float, float]:
    """Interval of the mean Dice of an arm over patients and seeds; over patients only if there are
    too few seeds."""
    same = (scores["n"] == n) & (scores["region"] == region) & (scores["arm"] == arm)
    values = patients_by_seeds(scores[same], "dice").dropna().to_numpy()
    estimate = crossed_mean(values, confidence, seed_sd=0.0)
    return estimate.low, estimate.high


def dice_by_arm(scores: pd.DataFrame, arms: Sequence[str], confidence: float) -> Figure:
    """Each test patient's Dice (averaged over seeds), and the mean with its interval
    (``mean_interval``).

    One row of panels per region, one column per number of training patients.
    """
    table = per_patient(scores, ["dice"])
    names, sizes = list(dict.fromkeys(scores["region"])), sorted(table["n"].unique())
    figure = Figure(figsize=(1.2 + 3.9 * len(sizes), 0.6 + 3.3 * len(names)))
    axes = figure.subplots(len(names), len(sizes), squeeze=False, sharey=True)
    rng = np.random.default_rng(0)
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
                values, colour = wide[arm].to_numpy(), arm_colour(arm)
                low, high = mean_interval(scores, n, region, arm, confidence)
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
            panel.set_title(f"{region_words(region)}, {n} training patients")
            panel.grid(axis="x", visible=False)
        axes[row, 0].set_ylabel("Dice")
    return figure


def dice_by_n(scores: pd.DataFrame, arms: Sequence[str], confidence: float) -> Figure:
    """Mean Dice over the number of training patients: one line per arm, with intervals
    (``mean_interval``).

    One panel per region. Arms are slightly offset, so that their intervals remain visible.
    """
    table = per_patient(scores, ["dice"])
    names, sizes = list(dict.fromkeys(scores["region"])), sorted(table["n"].unique())
    figure = Figure(figsize=(1.2 + 3.9 * len(names), 3.4))
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for panel, region in zip(axes, names, strict=True):
        for number, arm in enumerate(arms):
            chosen = table[(table["region"] == region) & (table["arm"] == arm)]
            groups = [chosen.loc[chosen["n"] == n, "dice"].to_numpy() for n in sizes]
            means = np.array([group.mean() for group in groups])
            ends = [mean_interval(scores, n, region, arm, confidence) for n in sizes]
            bars = np.abs(np.array(ends).T - means)
            apart = np.array(sizes) * 1.03 ** (number - (len(arms) - 1) / 2)
            style = {"color": arm_colour(arm), "label": arm.replace("+", " + "), "ms": 5}
            panel.errorbar(apart, means, bars, fmt="o-", lw=1.4, elinewidth=1.2, **style)
        panel.set(title=region_words(region), xlabel="training patients", xscale="log")
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.xaxis.set_minor_locator(NullLocator())
    axes[0].set_ylabel("Dice")
    axes[0].legend(loc="lower right", fontsize=8)
    return figure
