"""Tables for people: Markdown and LaTeX."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

HEADINGS = {
    "dice": "Dice",
    "hd95_mm": "HD95 (mm)",
    "nsd": "NSD",
    "volume_error_ml": "Volume error (mL)",
}
DIGITS = {"dice": 3, "hd95_mm": 1, "nsd": 3, "volume_error_ml": 1}


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
    """A Markdown table whose columns line up as plain text too; numbers to the right."""
    columns = [[str(name), *map(str, table[name])] for name in table.columns]
    right = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    lines: list[list[str]] = [[] for _ in range(len(table) + 2)]
    for column, to_right in zip(columns, right, strict=True):
        width = max(map(len, column))
        rule = "-" * (width - 1) + ":" if to_right else "-" * width
        cells = [cell.rjust(width) if to_right else cell.ljust(width) for cell in column]
        for line, cell in zip(lines, [cells[0], rule, *cells[1:]], strict=True):
            line.append(cell)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


LATEX = {"%": r"\%", "_": r"\_", "±": r"$\pm$", "−": "$-$", "–": "--", "<": "$<$", "²": "$^2$"}


def latex(table: pd.DataFrame, caption: str) -> str:
    """A LaTeX table for the package ``booktabs``."""

    def line(cells: Sequence[str]) -> str:
        texts = ("".join(LATEX.get(letter, letter) for letter in str(cell)) for cell in cells)
        return " & ".join(texts) + r" \\"

    rows = [line(row) for row in table.itertuples(index=False)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{''.join(LATEX.get(letter, letter) for letter in caption)}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
            r"\toprule",
            line(table.columns),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )
