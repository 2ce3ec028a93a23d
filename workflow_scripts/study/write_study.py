"""Write the tables of ``docs/study.md`` from those in ``docs/study``: part of ``make study``.

python -m workflow_scripts.study.write_study
"""

import argparse
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from workflow_scripts.common.files import UserError, read_table, write_text
from workflow_scripts.evaluation.comparisons import without_generator
from workflow_scripts.evaluation.statistics import (
    LEAST_SEEDS,
    crossed_error,
    patients_by_seeds,
)
from workflow_scripts.evaluation.tables import number, p_text, replace_between, signed
from workflow_scripts.study import develop
from workflow_scripts.study.cells import CELL, finished_arms, needs_generator
from workflow_scripts.study.run import SETUPS, TABLES, wanted_cells

DOCUMENT = Path("docs/study.md")
CONFIDENCE = 0.95
# The region of the main question, and the cohorts of real patients that it pools.
REGION, REAL = "WT", ("brats", "lgg")


def difference(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Dice of one arm minus another's (patients × seeds), averaged over the numbers of training
    patients; both tables are of one cohort and region. Patients and seeds that are not in all of
    them are excluded."""
    parts = []
    for n in sorted(set(first["n"]) & set(second["n"])):
        pair = (patients_by_seeds(table[table["n"] == n], "dice") for table in (first, second))
        one, other = next(pair).align(next(pair), join="inner")
        parts.append(one - other)
    if not parts:
        return pd.DataFrame()
    total = functools.reduce(lambda a, b: a.add(b).dropna(axis=1, how="all"), parts)
    return (total / len(parts)).dropna(axis=0, how="any")


def pool(differences: list[pd.DataFrame]) -> dict[str, float]:
    """Mean of differences (patients × seeds) over several cohorts, with equal weight for each
    patient, and its interval and p value.

    Cohorts share neither patients nor trainings, so the variances of their means (crossed model,
    ``evaluation/statistics.py``) add up with squared weights; degrees of freedom by Satterthwaite.
    With fewer than ``LEAST_SEEDS`` seeds in a cohort there is no interval.
    """
    counts = np.array([len(table) for table in differences], float)
    weights = counts / counts.sum()
    mean = float(weights @ [table.to_numpy().mean() for table in differences])
    estimate = {"mean": mean, "low": np.nan, "high": np.nan, "p": np.nan, "patients": counts.sum()}
    estimate["seeds"] = min(table.shape[1] for table in differences)
    if estimate["seeds"] < LEAST_SEEDS or counts.min() < 2:
        return estimate
    errors, freedoms = zip(*(crossed_error(t.to_numpy(float)) for t in differences), strict=True)
    parts = (weights * np.array(errors)) ** 2
    error = parts.sum() ** 0.5
    if not error:
        return estimate
    freedom = parts.sum() ** 2 / (parts**2 / np.array(freedoms)).sum()
    half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * error
    p = 2 * stats.t.sf(abs(mean) / error, freedom)
    return {**estimate, "low": mean - half, "high": mean + half, "p": float(p)}


def choose_arm(validation: pd.DataFrame, arms: list[str]) -> str | None:
    """The arm with the largest mean validation Dice over the cells that all arms have; ``None``
    without any."""
    own = validation[validation["arm"].isin(arms)]
    table = own.pivot_table("validation_dice", list(CELL), "arm").dropna()
    return table.mean().idxmax() if len(table) else None


def ours(arms: list[str]) -> list[str]:
    """Arms that need the generator."""
    return [arm for arm in arms if needs_generator(arm)]


def table_of(rows: list[list[str]], headings: list[str]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def heading(title: str, command: str = "make study") -> str:
    """A section's heading, with the command that writes its table."""
    return f"{title}\n\nWritten by `{command}`.\n"


def wanted_arms(cohort: str) -> list[tuple]:
    """All trainings of a cohort's study: values of ``CELL``, and the arm."""
    settings = SETUPS[cohort].settings()
    cells = wanted_cells(cohort, settings)
    return [(*cell.key.values(), arm) for cell in cells for arm in settings["segmentation"]["arms"]]


def progress_text(records: pd.DataFrame) -> Iterator[str]:
    """The finished trainings of each cohort, with commit and CPU."""
    yield heading("## What is finished")
    yield (
        "A training is one network: of one arm, in one cell. CPU hours are those "
        "of the trainings alone, since they last resumed; preprocessing and the generator are not "
        "counted.\n"
    )
    rows = []
    for cohort in SETUPS:
        wanted, own = len(wanted_arms(cohort)), records[records["cohort"] == cohort]
        if own.empty:
            rows.append([cohort, f"0 of {wanted}", "–", "–", "–", "–"])
            continue
        provenance = (
            ", ".join(sorted(set(own[name]))) for name in ("commit", "processor", "precision")
        )
        hours = f"{own['seconds'].sum() / 3600:.1f}"
        rows.append([cohort, f"{len(own)} of {wanted}", *provenance, hours])
    headings = ["Cohort", "Trainings", "Commit", "Processor", "Precision", "CPU hours"]
    yield table_of(rows, headings)


def is_finished(records: pd.DataFrame) -> bool:
    """Whether all trainings of the real patients' cohorts are in ``arms.csv``."""
    known = set(zip(*(records[name] for name in (*CELL, "arm")), strict=True))
    return known >= {training for cohort in REAL for training in wanted_arms(cohort)}


def main_question(scores: pd.DataFrame, validation: pd.DataFrame, finished: bool) -> Iterator[str]:
    """The pooled comparison of the generator's arm that validation selects with each rival. There
    is no verdict until the study is finished, since repeated looks would find one by chance."""
    yield heading("## The main question")
    scores = scores[scores["cohort"].isin(REAL) & (scores["region"] == REGION)]
    validation = validation[validation["cohort"].isin(REAL)]
    arms = scores["arm"].drop_duplicates().tolist()
    arm = choose_arm(validation, ours(arms))
    if arm is None:
        yield "No arm with a generator is finished on real patients.\n"
        return
    yield f"The generator's arm with the highest validation Dice so far is **{arm}**.\n"
    rows = []
    for rival in without_generator(arms):
        tables = {}
        for cohort, table in scores.groupby("cohort"):
            pair = (table[table["arm"] == name] for name in (arm, rival))
            if (own := difference(*pair)).size:
                tables[cohort] = own
        if tables:
            pooled = pool(list(tables.values()))
            rows.append([rival, ", ".join(tables), *difference_cells(pooled, finished)])
    yield table_of(
        rows, ["Against", "Cohorts", "Dice difference", "p", "Patients", "Seeds", "Verdict"]
    )


def difference_cells(estimate: dict[str, float], finished: bool) -> list[str]:
    """A pooled difference as text: interval, p, patients, seeds and verdict. There is neither p nor
    verdict until the study is ``finished``."""
    interval = ""
    if np.isfinite(estimate["low"]):
        interval = f" [{number(estimate['low'], 3)}, {number(estimate['high'], 3)}]"
    verdict = "not decided"
    if estimate["low"] > 0:
        verdict = "better"
    elif estimate["high"] < 0:
        verdict = "worse"
    counts = (f"{estimate[name]:.0f}" for name in ("patients", "seeds"))
    p = p_text(estimate["p"])
    if not finished:
        p, verdict = "–", "not finished"
    return [signed(estimate["mean"], 3) + interval, p, *counts, verdict]


def arms_text(scores: pd.DataFrame) -> Iterator[str]:
    """Mean Dice by cohort, number of training patients, arm and region."""
    yield heading("## Each arm")
    yield "Mean Dice over test patients and seeds. HD95 and scores by lesion are in the table.\n"
    regions = scores["region"].drop_duplicates().tolist()
    rows = []
    order = scores["arm"].drop_duplicates().tolist()
    for (cohort, n), group in scores.groupby(["cohort", "n"]):
        for arm in order:
            own = group[group["arm"] == arm]
            if own.empty:
                continue
            means = own.groupby("region")["dice"].mean()
            dice = [number(means.get(region, np.nan), 3) for region in regions]
            rows.append([cohort, str(n), str(own["seed"].nunique()), arm, *dice])
    yield table_of(rows, ["Cohort", "n", "Seeds", "Arm", *regions])


def generator_text(folder: Path) -> Iterator[str]:
    """Adherence, two-sample AUC and copies by cohort and n, over the seeds."""
    yield heading("## The generator")
    keys = ["cohort", "n"]
    adherence = read_table(folder / "adherence.csv")
    adherence = adherence[adherence["draw"] == "first"]
    quality = read_table(folder / "quality.csv")
    quality = quality[quality["generator"] == "synthetic"]
    rows = []
    for (cohort, n), own in adherence.groupby(keys):
        named = own.set_index("attribute")
        chosen = quality[(quality["cohort"] == cohort) & (quality["n"] == n)]
        auc = chosen[chosen["measure"] == "auc_reconstructed"].groupby("modality", sort=False)
        rows.append([
            cohort, str(n),
            number(named.loc[["volume_ml"], "bias"].mean(), 2),
            number(named.loc[["centroid_distance_mm"], "p95"].mean(), 1),
            number(named.loc[["met"], "share"].mean(), 2),
            ", ".join(f"{name} {number(value, 2)}" for name, value in auc["value"].mean().items()),
        ])  # fmt: skip
    headings = ["Cohort", "n", "Volume ratio", "Centroid p95 (mm)", "Met at first draw", "AUC"]
    yield table_of(rows, headings)


def development_text(path: Path) -> Iterator[str]:
    """Arms and settings that were tried on patients that the study does not test."""
    yield heading("## Settings tried on development patients", "make study-development")
    yield (
        "Mean Dice of patients that the study does not test. Networks learn from six patients, and "
        "the last weights are used (`config/development.yaml`). Settings are those that differ "
        f"from the study's. Differences are from {develop.BASE} with the same settings, over "
        "regions; with one seed their intervals assume the standard deviation between seeds "
        "(`evaluation.seed_sd`).\n"
    )
    headings = [
        "Cohort", "Settings", "Arm", "Patients", *develop.REGIONS, "Dice difference", "Commit",
    ]  # fmt: skip
    yield table_of(develop.rows(path), headings)


def study_text(folder: Path) -> str:
    """The text between the marks of ``docs/study.md``."""
    records = finished_arms(folder)
    parts = [*progress_text(records)]
    if len(records):
        scores = read_table(folder / "segmentation.csv")
        validation = read_table(folder / "validation.csv")
        parts += main_question(scores, validation, is_finished(records))
        parts += arms_text(scores)
    if (folder / "quality.csv").is_file():
        parts += generator_text(folder)
    if (folder / develop.TABLE).is_file():
        parts += development_text(folder / develop.TABLE)
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    options = parser.parse_args()
    try:
        text = options.document.read_text(encoding="utf-8")
        write_text(replace_between(text, study_text(options.tables), "study"), options.document)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
