"""The results of a run in three short answers."""

import pandas as pd

from workflow_scripts.common.words import MODALITIES, REGIONS
from workflow_scripts.evaluation.comparisons import MAIN
from workflow_scripts.evaluation.last_words import TITLE
from workflow_scripts.evaluation.statistics import LEAST_SEEDS
from workflow_scripts.evaluation.tables import number, signed, with_interval

PHANTOMS = (
    "**All patients of this run are phantoms**: simulated, not real. It shows how the workflow "
    "behaves, and nothing about real patients. In the names of arms, `real` stands for these "
    "phantoms.\n"
)


def help_text(rows: pd.DataFrame) -> str:
    """Whether synthetic patients helped: the verdict and the difference of Dice by region."""
    if rows["verdict"].nunique() == 1:
        changes = [
            f"{signed(row.difference, 3)} ({REGIONS[row.region]})" for row in rows.itertuples()
        ]
        return f"{rows['verdict'].iloc[0].capitalize()}. Dice changes by {', '.join(changes)}."
    parts = [
        f"{REGIONS[row.region]} {row.verdict}, Dice {signed(row.difference, 3)}"
        for row in rows.itertuples()
    ]
    return f"{'; '.join(parts)}."


def certainty_text(rows: pd.DataFrame, confidence: float) -> str:
    """The certainty of the verdict: intervals, and the numbers of patients and seeds."""
    ends = [
        f"{signed(row.ci_low, 3)} to {signed(row.ci_high, 3)}"
        + (f" ({row.region})" if len(rows) > 1 else "")
        for row in rows.itertuples()
    ]
    patients, seeds = int(rows["patients"].iloc[0]), int(rows["seeds"].iloc[0])
    text = (
        f"{100 * confidence:g} % interval {', '.join(ends)}; {patients} test patients, "
        f"{seeds} seed{'s'[: seeds != 1]}."
    )
    few = f" Fewer than {LEAST_SEEDS} seeds decide nothing."
    return text + few * (seeds < LEAST_SEEDS)


def likeness_text(rows: pd.DataFrame) -> str:
    """Whether a small network tells synthetic patients from held-out ones, by modality, averaged
    over splits."""
    parts = []
    for modality, group in rows.groupby("modality", sort=False):
        ends = group.iloc[0][["low", "high"]] if len(group) == 1 else (float("nan"),) * 2
        shown = with_interval(group["value"].mean(), *ends, 2)
        floor = number(group["floor"].mean(), 2)
        parts.append(f"{MODALITIES.get(modality, modality)} {shown} (training patients {floor})")
    apart = (rows.groupby("modality")["low"].mean() > 0.5).any()
    verdict = "Not quite: a small network tells" if apart else "A small network cannot surely tell"
    return f"{verdict} them apart, AUC {', '.join(parts)}; 0.5 is not at all, 1 always."


def in_short(
    comparisons: pd.DataFrame, quality: pd.DataFrame, phantoms: bool, confidence: float
) -> str:
    """The section *In short*: whether synthetic patients helped, how certain that is, and how they
    look.

    With several numbers of training patients, the largest one is reported.
    """
    rows = comparisons[comparisons["question"] == MAIN]
    lines = []
    if len(rows):
        rows = rows[rows["n"] == rows["n"].max()]
        lines.append(f"- **Did synthetic patients help?** {help_text(rows)}")
        lines.append(f"- **How sure is that?** {certainty_text(rows, confidence)}")
    else:
        lines.append("- **Did synthetic patients help?** This run has no arms to answer that.")
    chosen = (quality["generator"] == "synthetic") & (quality["measure"] == "auc_reconstructed")
    if chosen.any():
        question = "Do they look like the phantoms?" if phantoms else "Do they look real?"
        lines.append(f"- **{question}** {likeness_text(quality[chosen])}")
    return "\n".join([f"## {TITLE}\n", *lines]) + "\n"
