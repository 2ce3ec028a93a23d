"""Comparisons as text: one line each, with the verdict first."""

import pandas as pd

from workflow_scripts.common.words import region_words
from workflow_scripts.evaluation.comparisons import MAIN
from workflow_scripts.evaluation.statistics import LEAST_SEEDS
from workflow_scripts.evaluation.tables import number, p_text, signed


def question_text(row: pd.Series, confidence: float, seed_sd: float, validation: str) -> str:
    """One comparison in words and numbers, with the verdict first."""
    change, low, high = (signed(row[k], 3) for k in ("difference", "ci_low", "ci_high"))
    region = region_words(row["region"])
    few = row["seeds"] < LEAST_SEEDS
    supposed = f"assuming a standard deviation between seeds of {seed_sd:g}"
    p = f", p {p_text(row['p'])}".replace("p 0", "p = 0").replace("p 1", "p = 1")
    tested = f"{row['patients']} test patients, {row['seeds']} seed{'s'[: row['seeds'] != 1]}"
    interval = f"{100 * confidence:g} % interval {low} to {high}{f' {supposed}' if few else p}"
    smallest = number(row["smallest"], 3)
    shown = (
        f"Were the spread of seeds known, a true difference of {smallest} would be detected with "
        f"80 % "
        f"probability."
        if few
        else f"A true difference of {smallest} is detected with 80 % probability."
    )
    return (
        f"- {region[0].upper()}{region[1:]}: **{row['verdict']}**. With {row['n']} training and "
        f"{validation} validation patients, {row['question']}: Dice of {row['arm']} is {change} "
        f"against {row['opponent']} ({interval}; {tested}). {shown}"
    )


def verdicts_text(
    comparisons: pd.DataFrame,
    scores: pd.DataFrame,
    opponent: str,
    confidence: float,
    seed_sd: float,
) -> str:
    """One line per question, n and region, and a note on the method."""
    if comparisons.empty:
        return "Nothing to compare: the arms lack real+classical+synthetic, or an opponent.\n"
    counts = scores.groupby("n")["validation"].unique()
    order = {question: k for k, question in enumerate(comparisons["question"].unique())}
    rows = comparisons.sort_values("question", key=lambda c: c.map(order), kind="stable")
    lines = [
        question_text(row, confidence, seed_sd, "–".join(map(str, sorted(counts[row["n"]]))))
        for _, row in rows.iterrows()
    ]
    chosen = (
        "the arm without synthetic patients with the best validation Dice"
        if opponent == "validation"
        else "named in the configuration"
    )
    regions = scores["region"].nunique()
    family = f", each corrected for {regions} regions (Bonferroni)" if regions > 1 else ""
    note = f"Intervals and p are over patients and seeds{family}"
    if MAIN in order:
        note = f"The opponent is {chosen}. {note}"
    lines.append(f"\n{note}; questions are not corrected for each other.")
    return "\n".join(lines) + "\n"
