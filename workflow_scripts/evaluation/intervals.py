"""Intervals over patients for ratios, shares, AUCs and distances."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

Interval = tuple[float, float]
UNKNOWN: Interval = (float("nan"), float("nan"))
# Bootstrap samples of patients for the standard error of a distance.
RESAMPLINGS = 100


def ratio_interval(
    above: NDArray[np.float64], below: NDArray[np.float64], paired: bool, confidence: float
) -> Interval:
    """Interval of the ratio of two groups' means, r = mean(above) / mean(below).

    The delta method: var(r) = (var(above) / n + r² var(below) / m) / mean(below)², with Welch's and
    Satterthwaite's degrees of freedom; of ``paired`` values of the same patients var(r) = var(above
    - r below) / n / mean(below)², with n - 1. NaN if a group has fewer than two patients.
    """
    if min(len(above), len(below)) < 2:
        return UNKNOWN
    mean = below.mean()
    ratio = above.mean() / mean
    if paired:
        variance, freedom = np.var(above - ratio * below, ddof=1) / len(above), len(above) - 1
    else:
        parts = [
            np.var(above, ddof=1) / len(above),
            ratio**2 * np.var(below, ddof=1) / len(below),
        ]
        variance = sum(parts)
        counts = len(above) - 1, len(below) - 1
        squares = sum(part**2 / n for part, n in zip(parts, counts, strict=True))
        freedom = variance**2 / squares if squares > 0 else sum(counts)
    reach = stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance) / abs(mean)
    return float(ratio - reach), float(ratio + reach)


def spread_interval(
    above: NDArray[np.float64], below: NDArray[np.float64], confidence: float
) -> Interval:
    """Interval of the ratio of two groups' standard deviations, by the F distribution: patients'
    values are assumed to be normal. NaN if a group has fewer than two patients, or ``below`` does
    not vary."""
    if min(len(above), len(below)) < 2 or not np.var(below):
        return UNKNOWN
    ratio = np.std(above, ddof=1) / np.std(below, ddof=1)
    tails = (1 + confidence) / 2, (1 - confidence) / 2
    limits = stats.f.ppf(tails, len(above) - 1, len(below) - 1)
    low, high = ratio / np.sqrt(limits)
    return float(low), float(high)


def share_interval(which: NDArray[np.bool_], confidence: float) -> Interval:
    """Wilson's score interval (1927) of the share of patients in ``which``."""
    interval = stats.binomtest(int(which.sum()), len(which)).proportion_ci(confidence, "wilson")
    return float(interval.low), float(interval.high)


def auc_interval(auc: float, first: int, second: int, confidence: float) -> Interval:
    """Interval of an AUC between ``first`` and ``second`` patients, which has a width at 0 and 1
    too: the values θ with |auc - θ| <= z √V(θ), V(θ) = θ (1 - θ) [1 + (N - 1) ((1 - θ) / (2 - θ) +
    θ / (1 + θ))] / (first second), N = (first + second) / 2.

    Newcombe, Statistics in Medicine 25 (2006), method 5, doi:10.1002/sim.2324; V after Hanley and
    McNeil (1982).
    """
    z = stats.norm.ppf((1 + confidence) / 2)

    def excess(theta: float) -> float:
        shape = (1 - theta) / (2 - theta) + theta / (1 + theta)
        size = 1 + ((first + second) / 2 - 1) * shape
        return (auc - theta) ** 2 - z**2 * theta * (1 - theta) * size / (first * second)

    # At 0 and 1 the AUC itself is a root; find the other one.
    low = brentq(excess, 0.0, min(auc, 1 - 1e-9)) if auc > 0 else 0.0
    high = brentq(excess, max(auc, 1e-9), 1.0) if auc < 1 else 1.0
    return float(low), float(high)


def distance_interval(
    value: float, resample: Callable[[np.random.Generator], float], seed: int, confidence: float
) -> Interval:
    """Interval of a distance, value · exp(± z s), where s is the standard deviation of the
    logarithms of ``RESAMPLINGS`` distances from ``resample``, each between patients drawn with
    replacement.

    Patients drawn twice increase a distance, so percentiles of these distances would lie above the
    value. NaN if the value is 0 or NaN.
    """
    if not value > 0:
        return UNKNOWN
    rng = np.random.default_rng(seed)
    drawn = np.array([resample(rng) for _ in range(RESAMPLINGS)])
    spread = np.nanstd(np.log(np.maximum(drawn, 1e-12)), ddof=1)
    reach = np.exp(stats.norm.ppf((1 + confidence) / 2) * spread)
    return float(value / reach), float(value * reach)
