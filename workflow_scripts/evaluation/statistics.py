"""Means, intervals and paired tests over patients."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

BASELINE = "real+classical"


def per_patient(scores: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Scores averaged over the seeds: a row for each n, arm, region and patient, in that order.

    Arms and regions keep the order that they have in ``scores``. Several trainings that are tested
    on the same patients are no independent evidence: the patient is the unit of every interval
    and test.
    """
    order = {name: scores[name].drop_duplicates().tolist() for name in ("arm", "region")}
    keys = ["n", "arm", "region", "patient_id"]
    means = scores.groupby(keys, as_index=False)[list(metrics)].mean()

    def rank(column: pd.Series) -> pd.Series:
        return column.map(order[column.name].index) if column.name in order else column

    return means.sort_values(keys, key=rank, ignore_index=True)


def bootstrap_interval(
    values: NDArray[np.float64], resamplings: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Bootstrap interval of the mean of ``values`` (N,) over patients, bias-corrected and
    accelerated (BCa: Efron 1987, doi:10.1080/01621459.1987.10478410); the value itself where all
    are equal."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamplings,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def paired_p(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """p of Wilcoxon's signed-rank test, two-sided, of paired values (N,); 1 if nothing differs.

    Ties of the two arms are kept by Pratt's method.
    """
    # Means over seeds may differ by rounding alone, which would rank as a difference.
    difference = np.round(np.asarray(first) - np.asarray(second), 12)
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference, zero_method="pratt").pvalue)


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """p values corrected for their number by Holm's step-down method (1979), in the order given."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    raised = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return corrected


def paired(patients: pd.DataFrame, arm: str, baseline: str, metric: str) -> NDArray[np.float64]:
    """Values (N, 2) of an arm and of the baseline for the patients of one n and region."""
    wide = patients.pivot(index="patient_id", columns="arm", values=metric)
    return wide[[arm, baseline]].dropna().to_numpy()


def summarise(
    scores: pd.DataFrame, metrics: Sequence[str], resamplings: int, confidence: float, seed: int
) -> pd.DataFrame:
    """A row for each n, arm and region: mean, sd, interval and corrected p of each metric.

    ``<metric>_p`` compares the arm with ``real+classical`` on the same patients. Holm's correction
    is over all comparisons of one metric in the table. It is empty for the baseline itself.
    """
    patients = per_patient(scores, metrics)
    rows = []
    for (n, arm, region), group in patients.groupby(["n", "arm", "region"], sort=False):
        row = {"n": n, "arm": arm, "region": region, "patients": len(group)}
        rivals = patients[(patients["n"] == n) & (patients["region"] == region)]
        compared = arm != BASELINE and (rivals["arm"] == BASELINE).any()
        for metric in metrics:
            values = group[metric].to_numpy()
            row[f"{metric}_mean"] = float(values.mean())
            row[f"{metric}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            interval = bootstrap_interval(values, resamplings, confidence, seed)
            row[f"{metric}_ci_low"], row[f"{metric}_ci_high"] = interval
            pair = paired(rivals, arm, BASELINE, metric).T if compared else None
            row[f"{metric}_p"] = paired_p(*pair) if compared else float("nan")
        rows.append(row)
    table = pd.DataFrame(rows)
    for metric in metrics:
        tested = table[f"{metric}_p"].notna()
        table.loc[tested, f"{metric}_p"] = holm(table.loc[tested, f"{metric}_p"])
    return table
