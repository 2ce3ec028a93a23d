"""The comparisons of a run, each with its verdict."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from workflow_scripts.common.files import read_table
from workflow_scripts.evaluation.statistics import (
    LEAST_SEEDS,
    Estimate,
    arm_difference,
    family_coverage,
)
from workflow_scripts.segmentation.settings import GENERATED, words_of

OURS = "real+classical+synthetic"
HELPED, HARMED, UNDECIDED = "helped", "harmed", "not decided"
# Arms that synthetic patients are compared with in addition to the opponent, and the questions.
RIVALS = {
    "real+classical+synthetic_first": "synthetic patients among the real ones instead of before "
    "them",
    "real+classical+phantoms": "synthetic patients in place of the prior's phantoms",
    "real+classical+implanted": "synthetic patients in place of tumours implanted into real ones",
    "real+classical+copies": "synthetic patients in place of the training patients' warped copies",
    "real+classical+gan3d": "synthetic patients in place of those of a 3-D GAN",
    "real+classical+ldm3d": "synthetic patients in place of those of 3-D latent diffusion",
    "real+classical+cutmix": "synthetic patients in place of CutMix",
    "real+classical+carvemix": "synthetic patients in place of CarveMix",
    "real+classical+tumorcp": "synthetic patients in place of TumorCP",
}
# Additions to arms with a mixing augmentation: does the generator improve on mixing alone?
ADDITIONS = {
    "synthetic": "synthetic patients",
    "synthetic_first": "synthetic patients, before real ones,",
    "implanted": "implanted tumours",
}
BESIDE = {"cutmix": "CutMix", "carvemix": "CarveMix", "tumorcp": "TumorCP"}
MAIN = "synthetic patients against the opponent"
REPLACED = "synthetic patients in place of classical augmentation"
OTHER_RUN = "synthetic patients of this run in place of those of {run}"


def without_generator(arms: list[str]) -> list[str]:
    """Arms without synthetic patients of any generator."""
    return [arm for arm in arms if not words_of(arm) & set(GENERATED)]


def additions(arm: str) -> Iterator[tuple[str, str]]:
    """For an arm with a mixing augmentation: each question about the generator, and the arm without
    the generator's patients to compare with."""
    words = arm.split("+")
    for name, mixing in BESIDE.items():
        for word, patients in ADDITIONS.items():
            if name in words and word in words:
                yield f"{patients} beside {mixing}", "+".join(w for w in words if w != word)


def choose_opponents(validation: pd.DataFrame, named: str) -> dict[int, str]:
    """The arm that synthetic patients are compared with, for each n.

    ``validation`` has the columns n, seed, arm and validation_dice. ``named`` is an arm, or
    ``validation``: the arm without synthetic patients with the largest mean validation Dice over
    the seeds, the first one if equal. Test scores are not used. An n without such an arm has no
    opponent.
    """
    opponents = {}
    for n, table in validation.groupby("n"):
        arms = without_generator(table["arm"].drop_duplicates().tolist())
        if named != "validation":
            arms = [arm for arm in arms if arm == named]
        means = table.groupby("arm")["validation_dice"].mean()
        if arms:
            opponents[n] = max(arms, key=lambda arm: means[arm])
    return opponents


def opponents_of(scores: pd.DataFrame, validation: str | None, named: str) -> dict[int, str]:
    """The opponents (``choose_opponents``) for a table of validation Dice; an n without one has the
    first arm of ``scores``."""
    if validation:
        return choose_opponents(read_table(validation), named)
    return dict.fromkeys(scores["n"], scores["arm"].iloc[0])


def verdict(estimate: Estimate) -> str:
    """``helped``, ``harmed`` or ``not decided``: the first two if the interval excludes 0.

    With fewer than ``LEAST_SEEDS`` seeds nothing is decided.
    """
    if estimate.seeds < LEAST_SEEDS:
        return f"{UNDECIDED}: {estimate.seeds} seed{'s' if estimate.seeds > 1 else ''}"
    if estimate.low > 0:
        return HELPED
    return HARMED if estimate.high < 0 else UNDECIDED


def _pairs(
    table: pd.DataFrame, opponent: str | None, others: dict[str, pd.DataFrame]
) -> list[tuple[str, str, str, pd.DataFrame]]:
    """Question, arm, opponent and the opponent's scores, for one n and region."""
    arms = table["arm"].unique()
    pairs = []

    def add(question: str, arm: str, rival: str | None) -> None:
        if arm in arms and rival in arms:
            pairs.append((question, arm, rival, table[table["arm"] == rival]))

    add(MAIN, OURS, opponent)
    add(REPLACED, "real+synthetic", "real+classical")
    for rival, question in RIVALS.items():
        if rival != opponent:
            add(question, OURS, rival)
    for arm in arms:
        for question, base in additions(arm):
            add(question, arm, base)
    for run, scores in others.items():
        same = (scores["n"] == table["n"].iloc[0]) & (scores["region"] == table["region"].iloc[0])
        chosen = scores[same & (scores["arm"] == OURS)]
        if OURS in arms and len(chosen):
            pairs.append((OTHER_RUN.format(run=run), OURS, f"{OURS} of {run}", chosen))
    return pairs


def compare(
    scores: pd.DataFrame,
    opponents: dict[int, str],
    others: dict[str, pd.DataFrame],
    confidence: float,
    seed_sd: float,
) -> pd.DataFrame:
    """One row per question, n and region: the difference of Dice and its verdict.

    The regions of one question and n are one family: intervals have ``family_coverage``, and p is
    multiplied by their number, so that interval, p and verdict agree. Questions are not
    corrected for each other.
    ``others`` are the scores of other runs on the same test patients, by the run's name.
    """
    regions = scores["region"].drop_duplicates().tolist()
    coverage = family_coverage(confidence, scores)
    rows = []
    for n, group in scores.groupby("n"):
        for region in regions:
            table = group[group["region"] == region]
            for question, arm, rival, other in _pairs(table, opponents.get(n), others):
                own = table[table["arm"] == arm]
                estimate = arm_difference(own, other, "dice", coverage, seed_sd)
                rows.append(
                    {
                        "n": n,
                        "question": question,
                        "arm": arm,
                        "opponent": rival,
                        "region": region,
                        "patients": estimate.patients,
                        "seeds": estimate.seeds,
                        "difference": estimate.mean,
                        "ci_low": estimate.low,
                        "ci_high": estimate.high,
                        "p": float(np.minimum(estimate.p * len(regions), 1.0)),
                        "smallest": estimate.smallest,
                        "verdict": verdict(estimate),
                    }
                )
    columns = ["n", "question", "arm", "opponent", "region", "patients", "seeds", "difference"]
    columns += ["ci_low", "ci_high", "p", "smallest", "verdict"]
    return pd.DataFrame(rows, columns=columns)
