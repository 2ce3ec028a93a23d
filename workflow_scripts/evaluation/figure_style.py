"""The style of all figures."""

import logging
from contextlib import AbstractContextManager

import matplotlib
from matplotlib.figure import Figure

# Matplotlib's messages about its font cache do not belong on the screen.
logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)

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


def style() -> AbstractContextManager:
    """The style of all figures, as a context."""
    return matplotlib.rc_context(STYLE)


def note(text: str) -> Figure:
    """A figure with a text that explains why there is nothing to draw."""
    figure = Figure(figsize=(6, 1.5))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure
