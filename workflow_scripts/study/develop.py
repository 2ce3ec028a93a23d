"""Try settings on patients that the study does not test: ``make study-development``.

    python -m workflow_scripts.study.develop brats /data/BraTS2021 --settings tried.yaml \\
        --arms "real+classical real+classical+synthetic"

The settings in a file are added to those of the study. Each patient that is not a test patient of
the study is tested once, by networks of ``config/development.yaml``. Scores are added to
``development.csv``, with the settings. Runs with other settings repeat only what these concern.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.common.provenance import machine
from workflow_scripts.common.strict_yaml import read_yaml
from workflow_scripts.evaluation.tables import number, with_interval
from workflow_scripts.study.run import (
    SETUPS,
    TABLES,
    check_data,
    commit,
    run_snakemake,
    snakemake_command,
)

CONFIGURATION = "config/development.yaml"
TABLE = "development.csv"
# Rows of one run of an arm.
KEY = ("cohort", "settings", "arm")
SCORE = ("split", "patient_id", "region", "dice")
# Compared with this arm, with the study's settings.
BASE = "real+classical"
CONFIDENCE = 0.95
UNCHANGED = "as in the study"
REGIONS = ("WT", "TC", "ET")


def settings_text(file: Path | None) -> str:
    """The settings of a file in one line; ``UNCHANGED`` without a file."""
    if file is None:
        return UNCHANGED
    return yaml.safe_dump(read_yaml(file), default_flow_style=True, width=float("inf")).strip()


def add_scores(path: Path, scores: pd.DataFrame) -> None:
    """Add scores to the table, in place of its rows with the same ``KEY``."""
    if path.is_file():
        table = read_table(path)
        new = pd.MultiIndex.from_frame(scores[list(KEY)])
        old = pd.MultiIndex.from_frame(table[list(KEY)])
        scores = pd.concat([table[~old.isin(new)], scores], ignore_index=True)
    write_table(scores, path)


def add_run(folder: Path, cohort: str, settings: str, results: Path, code: str) -> None:
    """Add the scores of a finished run in ``results`` to the tables in ``folder``."""
    scores = read_table(results / "evaluation" / "scores.csv")[["arm", *SCORE]]
    provenance = {"commit": code, "processor": machine()["processor"]}
    scores = scores.assign(cohort=cohort, settings=settings, **provenance)
    add_scores(folder / TABLE, scores[[*KEY, *SCORE, *provenance]])


def dice_of(table: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice over splits (patients × regions)."""
    return table.pivot_table("dice", "patient_id", "region", sort=False)


def paired_difference(first: pd.DataFrame, second: pd.DataFrame) -> tuple[float, float, float]:
    """Mean difference over patients of Dice averaged over regions (patients × regions), and its t
    interval over patients. The spread of trainings is not in it."""
    gains = (first - second).mean(axis=1).dropna()
    error = gains.std() / len(gains) ** 0.5
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(gains) - 1) * error if len(gains) > 1 else np.nan
    return gains.mean(), gains.mean() - half, gains.mean() + half


def rows(path: Path) -> list[list[str]]:
    """The table's runs as text: cohort, settings, arm, number of patients, mean Dice of whole
    tumour, core and enhancing tumour, and the difference to ``BASE``."""
    table = read_table(path)
    lines = []
    for cohort, own in table.groupby("cohort", sort=False):
        base = dice_of(own[(own["arm"] == BASE) & (own["settings"] == UNCHANGED)])
        for (settings, arm), scores in own.groupby(["settings", "arm"], sort=False):
            dice = dice_of(scores)
            means = [number(dice[name].mean() if name in dice else np.nan, 3) for name in REGIONS]
            gain = with_interval(*paired_difference(dice, base), 3) if len(base) else "–"
            label = settings if settings == UNCHANGED else f"`{settings}`"
            lines.append([cohort, label, arm, str(len(dice)), *means, gain])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", choices=SETUPS)
    parser.add_argument("data", nargs="?", help="the BraTS folder, or the table of files")
    parser.add_argument("--settings", type=Path, help="a configuration file to try")
    parser.add_argument("--arms", help="arms, separated by blanks; by default the study's")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables")
    options = parser.parse_args()
    try:
        check_data(options.cohort, options.data)
        setup, text, code = SETUPS[options.cohort], settings_text(options.settings), commit()
        files = [*setup.files, CONFIGURATION]
        if options.settings:
            files.append(str(options.settings))
        results = f"results-development-{options.cohort}"
        sections = {"cohort": setup.source(options.data)}
        if options.arms:
            sections["segmentation"] = {"arms": options.arms.split()}
        if not run_snakemake(snakemake_command(files, results, sections, ["scores.csv"])):
            raise UserError(f"{options.cohort}: the run failed; repeat the command to resume")
        add_run(options.tables, options.cohort, text, Path(results), code)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
