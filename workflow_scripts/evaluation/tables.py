"""Readable tables in Markdown and LaTeX."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workflow_scripts.common.files import UserError

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
    """A p value with two significant digits, down to 0.001; a dash if missing."""
    if np.isnan(p):
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.2g}" if p < 0.995 else "1"


def number(value: float, digits: int) -> str:
    """A number with a typographic minus sign; a dash if missing."""
    if value is None or np.isnan(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int) -> str:
    """A number that always has a sign; a dash if missing."""
    text = number(value, digits)
    return f"+{text}" if value > 0 else text


def with_interval(value: float, low: float, high: float, digits: int) -> str:
    """``value [low, high]``; only the value without an interval, a dash without a value."""
    shown, *ends = (number(each, digits) for each in (value, low, high))
    return shown if shown == "–" or set(ends) == {"–"} else f"{shown} [{', '.join(ends)}]"


def readable(summary: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The summary as text: ``mean ± sd`` of each metric, and after Dice its difference from the
    opponent's, ``difference [low, high]``."""
    table = summary[["n", "arm", "region"]].astype(str)
    for metric in metrics:
        digits = DIGITS[metric]
        table[HEADINGS[metric]] = [
            " ± ".join(number(row[f"{metric}_{part}"], digits) for part in ("mean", "sd"))
            for _, row in summary.iterrows()
        ]
        if metric == "dice":
            table["Difference"] = [difference_text(row) for _, row in summary.iterrows()]
    return table


def difference_text(row: pd.Series) -> str:
    """The difference of Dice of a row of the summary with its interval and the opponent."""
    if row["arm"] == row["opponent"]:
        return "opponent"
    low, high = (number(row[f"dice_{end}"], 3) for end in ("ci_low", "ci_high"))
    return f"{signed(row['dice_difference'], 3)} [{low}, {high}]"


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table whose columns line up as plain text too."""
    return table.to_markdown(index=False, disable_numparse=True) + "\n"


# Characters that pandas does not escape, and not every LaTeX supports.
LETTERS = {"±": r"$\pm$", "−": "$-$", "–": "--", "²": "$^2$"}


def latex(table: pd.DataFrame, caption: str) -> str:
    """A LaTeX table for the package ``booktabs``."""
    text = table.to_latex(index=False, escape=True, caption=caption.replace("%", r"\%"))
    for letter, command in LETTERS.items():
        text = text.replace(letter, command)
    return text


def replace_between(text: str, new: str, name: str) -> str:
    """Replace the text between the marks ``<!-- name: begin -->`` and ``<!-- name: end -->`` of a
    document. Raises ``UserError`` without them."""
    begin, end = (f"<!-- {name}: {side} -->\n" for side in ("begin", "end"))
    if begin not in text or end not in text:
        raise UserError(f"the document lacks the marks {begin.strip()} and {end.strip()}")
    return text[: text.index(begin) + len(begin)] + new + text[text.index(end) :]
