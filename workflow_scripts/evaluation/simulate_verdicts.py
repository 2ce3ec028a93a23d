"""How often verdicts are wrong, and how often a true difference is detected: simulated studies with
a known truth.

    python -m workflow_scripts.evaluation.simulate_verdicts

prints the table of docs/numbers.md; with ``--write docs/numbers.md`` it replaces the table there.
"""

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from workflow_scripts.common.files import write_text
from workflow_scripts.evaluation.statistics import crossed_error
from workflow_scripts.evaluation.tables import markdown, replace_between

SEEDS = (3, 5)
PATIENTS = (8, 40, 100)
OPPONENTS = (1, 5)
GAIN = 0.07
RUNS = 10_000
# Number of studies that are held in memory.
BLOCK = 500


@dataclass(frozen=True)
class Truth:
    """Variance components of Dice, as standard deviations of the difference of two arms.

    ``seed_sd`` is that of the seed effect, ``patient_sd`` of the patient effect that all seeds
    share, ``noise_sd`` of the residual for each patient and seed. The opponent is chosen on
    ``validation`` patients.
    """

    seed_sd: float = 0.035
    patient_sd: float = 0.0
    noise_sd: float = 0.08
    validation: int = 2


# With a shared patient effect, and without.
TRUTHS = (Truth(), Truth(patient_sd=0.05))


def draw_trials(
    truth: Truth, runs: int, patients: int, seeds: int, opponents: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Paired differences (runs, P, S) of an arm and its opponent if all arms are equally good.

    The opponent is the one of the ``opponents`` arms with the largest mean Dice of the validation
    patients over the seeds. Each arm has half of the difference's variance.
    """
    arms = 1 + opponents

    def effect(sd: float, *shape: int) -> NDArray[np.float64]:
        return rng.normal(0, sd / np.sqrt(2), (runs, arms, *shape))

    def dice(count: int) -> NDArray[np.float64]:
        shared = effect(truth.patient_sd, count, 1)
        return by_seed + shared + effect(truth.noise_sd, count, seeds)

    by_seed = effect(truth.seed_sd, 1, seeds)
    test, validation = dice(patients), dice(truth.validation)
    best = 1 + validation[:, 1:].mean((-1, -2)).argmax(1)
    return test[:, 0] - test[np.arange(runs), best]


def share_decided(differences: NDArray[np.float64], confidence: float = 0.95) -> float:
    """Share of the studies (runs, P, S) in which the interval of the mean excludes 0."""
    error, freedom = crossed_error(differences)
    half = stats.t.ppf((1 + confidence) / 2, freedom) * error
    return float((np.abs(differences.mean((-1, -2))) > half).mean())


def simulate(
    truth: Truth, runs: int, patients: int, seeds: int, opponents: int, seed: int
) -> tuple[float, float]:
    """Share of false verdicts without an effect, and of true verdicts at a gain of ``GAIN``."""
    rng, shares, drawn = np.random.default_rng([seed, patients, seeds, opponents]), [], []
    for first in range(0, runs, BLOCK):
        count = min(BLOCK, runs - first)
        trials = draw_trials(truth, count, patients, seeds, opponents, rng)
        shares.append((share_decided(trials), share_decided(trials + GAIN)))
        drawn.append(count)
    false, true = np.average(shares, axis=0, weights=drawn)
    return float(false), float(true)


def table(runs: int, seed: int = 0) -> pd.DataFrame:
    """One row per number of seeds, patients and opponents, with and without a patient effect."""
    rows = []
    for seeds, patients, opponents in itertools.product(SEEDS, PATIENTS, OPPONENTS):
        row = {"seeds": seeds, "test patients": patients}
        row["opponent"] = "named" if opponents == 1 else f"best of {opponents} on validation"
        for truth in TRUTHS:
            false, true = simulate(truth, runs, patients, seeds, opponents, seed)
            kind = f"patient SD {truth.patient_sd:g}"
            row[f"false verdicts, {kind}"] = f"{100 * false:.1f} %"
            row[f"+{GAIN:g} decided, {kind}"] = f"{100 * true:.0f} %"
        rows.append(row)
    return pd.DataFrame(rows).astype(str)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="simulated studies per cell")
    parser.add_argument("--write", type=Path, help="document whose table is replaced")
    options = parser.parse_args()
    markdown_table = markdown(table(options.runs))
    print(markdown_table)
    if options.write:
        text = options.write.read_text(encoding="utf-8")
        write_text(replace_between(text, markdown_table, "simulate_verdicts"), options.write)


if __name__ == "__main__":
    main()
