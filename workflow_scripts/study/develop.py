"""Try arms and settings on patients that the study does not test: ``make study-development``.

    python -m workflow_scripts.study.develop brats /data/BraTS2021 --settings tried.yaml \\
        --arms "real+classical+tumorcp real+classical+synthetic"

Each patient that the study does not test is tested once, by networks of ``config/development.yaml``
with the settings in a file. Arms are compared with ``BASE``, which is part of every run. Scores are
added to ``development.csv``. Later runs repeat only what their settings concern.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.common.provenance import machine
from workflow_scripts.common.strict_yaml import read_yaml
from workflow_scripts.configuration import DEFAULTS, read_config
from workflow_scripts.evaluation.statistics import crossed_mean
from workflow_scripts.evaluation.tables import number, signed
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
# The arm that others are compared with.
BASE = "real+classical"
CONFIDENCE = 0.95
UNCHANGED = "the study's"
REGIONS = ("WT", "TC", "ET")


def settings_of(file: Path | None) -> dict:
    """The settings of a file. Raises ``UserError`` for those that say which patients take part."""
    settings = read_yaml(file) if file else {}
    for name in ("cohort", "results"):
        if name in settings:
            raise UserError(f"{file}: {name} is the study's; remove it")
    return settings


def settings_text(settings: dict) -> str:
    """Settings in one line; ``UNCHANGED`` if there are none."""
    if not settings:
        return UNCHANGED
    return yaml.safe_dump(settings, default_flow_style=True, width=float("inf")).strip()


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
    """Dice of one arm averaged over regions: one row per patient, one column per seed."""
    seeds = table["split"].str.split("-s").str[1]
    return table.assign(seed=seeds).pivot_table("dice", "patient_id", "seed")


def difference(table: pd.DataFrame, base: pd.DataFrame) -> str:
    """The difference of an arm's scores from those of ``BASE``, with its interval over patients
    and seeds; a dash for the base itself and without a base of the same code and processor."""
    origin = [tuple(rows[["commit", "processor"]].iloc[0]) for rows in (table, base) if len(rows)]
    if len(set(origin)) != 1 or len(origin) < 2 or table.equals(base):
        return "–"
    first, second = dice_of(table).align(dice_of(base), join="inner")
    seed_sd = read_config(DEFAULTS).evaluation.seed_sd
    estimate = crossed_mean((first - second).to_numpy(float), CONFIDENCE, seed_sd)
    ends = (number(end, 3) for end in (estimate.low, estimate.high))
    return f"{signed(estimate.mean, 3)} [{', '.join(ends)}]"


def rows(path: Path) -> list[list[str]]:
    """The table's runs as text: cohort, settings, arm, number of patients, mean Dice of whole
    tumour, core and enhancing tumour, the difference from ``BASE`` with the same settings, and the
    commit."""
    lines = []
    for (cohort, settings), run in read_table(path).groupby(["cohort", "settings"], sort=False):
        base = run[run["arm"] == BASE]
        for arm, scores in run.groupby("arm", sort=False):
            dice = scores.groupby("region")["dice"].mean()
            means = [number(dice.get(region, np.nan), 3) for region in REGIONS]
            label = settings if settings == UNCHANGED else f"`{settings}`"
            count = str(scores["patient_id"].nunique())
            commit = scores["commit"].iloc[0]
            lines.append([cohort, label, arm, count, *means, difference(scores, base), commit])
    return lines


def try_settings(
    cohort: str, data: str | None, file: Path | None, arms: list[str], tables: Path
) -> None:
    """Run some arms with the settings of a file and add their scores to the table. Raises
    ``UserError`` for settings that are refused, and if the run fails."""
    check_data(cohort, data)
    setup, settings, code = SETUPS[cohort], settings_of(file), commit()
    files = [*setup.files, CONFIGURATION, *([str(file)] if file else [])]
    section = {"arms": [BASE, *(arm for arm in arms if arm != BASE)]}
    sections = {"cohort": setup.source(data), "segmentation": section}
    read_config(DEFAULTS, *files, changes=sections)
    results = f"results-development-{cohort}"
    if not run_snakemake(snakemake_command(files, results, sections, ["scores.csv"])):
        raise UserError(f"{cohort}: the run failed; repeat the command to resume")
    add_run(tables, cohort, settings_text(settings), Path(results), code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", choices=SETUPS)
    parser.add_argument("data", nargs="?", help="the BraTS folder, or the table of files")
    parser.add_argument("--settings", type=Path, help="a configuration file to try")
    parser.add_argument("--arms", help="arms, separated by blanks; by default the study's")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables")
    options = parser.parse_args()
    try:
        arms = SETUPS[options.cohort].settings()["segmentation"]["arms"]
        arms = options.arms.split() if options.arms else arms
        try_settings(options.cohort, options.data, options.settings, arms, options.tables)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
