"""Tables for people: Markdown and LaTeX."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

HEADINGS = {
    "dice": "Dice",
    "hd95_mm": "HD95 (mm)",
    "nsd": "NSD",
    "volume_error_ml": "Volume error (mL)",
    "volume_error_abs_ml": "Absolute volume error (mL)",
}
METRICS = tuple(HEADINGS)
DIGITS = {"dice": 3, "hd95_mm": 1, "nsd": 3, "volume_error_ml": 1, "volume_error_abs_ml": 1}


def p_text(p: float) -> str:
    """A p value with two significant digits, down to 0.001; a dash where there is none."""
    if np.isnan(p):
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.2g}" if p < 0.995 else "1"


def number(value: float, digits: int) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if value is None or np.isnan(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def readable(summary: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The summary as text: for each metric ``mean ± sd [low, high]`` and p."""
    table = summary[["n", "arm", "region"]].astype(str)
    for metric in metrics:
        digits = DIGITS[metric]
        cells, tests = [], []
        for _, row in summary.iterrows():
            mean, sd, low, high = (
                number(row[f"{metric}_{part}"], digits)
                for part in ("mean", "sd", "ci_low", "ci_high")
            )
            cells.append(f"{mean} ± {sd} [{low}, {high}]")
            tests.append(p_text(row[f"{metric}_p"]))
        table[HEADINGS[metric]] = cells
        table[f"p, {HEADINGS[metric].split(' (')[0]}"] = tests
    return table


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table whose columns line up as plain text too."""
    return table.to_markdown(index=False, disable_numparse=True) + "\n"


# What pandas leaves as it is, and not every LaTeX knows.
LETTERS = {"±": r"$\pm$", "−": "$-$", "–": "--", "²": "$^2$"}


def latex(table: pd.DataFrame, caption: str) -> str:
    """A LaTeX table for the package ``booktabs``."""
    text = table.to_latex(index=False, escape=True, caption=caption.replace("%", r"\%"))
    for letter, command in LETTERS.items():
        text = text.replace(letter, command)
    return text
