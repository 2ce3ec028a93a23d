"""The table of test patients, worst first, with their scores and predictions."""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from workflow_scripts.common.patients import patient_folders
from workflow_scripts.common.words import split_words
from workflow_scripts.evaluation.tables import DIGITS, HEADINGS, number, signed

# Columns of ``scores.csv`` in the table, and whether high or low values are worse.
WORST = {"dice": "low", "hd95_mm": "high", "volume_error_ml": "high", "missed": "high"}
# Columns whose rows are sorted by another value.
KEYS = {"volume_error_ml": "volume_error_size"}
TITLES = {name: HEADINGS.get(name, "Lesions missed") for name in WORST}


class Prediction(NamedTuple):
    """The label map of a test patient predicted by the network of one split and arm, on the
    grid."""

    split: str
    arm: str
    file: Path

    @property
    def name(self) -> str:
        """Its name among the patient's volumes."""
        return f"prediction {self.arm}"


def predictions_by_patient(folders: list[str]) -> dict[str, list[Prediction]]:
    """The predictions for each test patient, from the folders ``<split>/<arm>/predictions``."""
    predictions = defaultdict(list)
    for folder in map(Path, folders):
        split, arm = folder.parts[-3:-1]
        for patient in patient_folders(folder):
            predictions[patient.name].append(Prediction(split, arm, patient / "label.nii.gz"))
    return predictions


def with_lesions(scores: pd.DataFrame, shown: str) -> pd.DataFrame:
    """Rows of ``scores.csv`` for the splits with as many training patients as the split ``shown``,
    with the numbers of lesions in the reference and of missed lesions."""
    n = scores.loc[scores["split"] == shown, "n"].iloc[0]
    rows = scores[scores["n"] == n].copy()
    rows["patient_id"] = rows["patient_id"].astype(str)
    rows["missed"] = rows["lesion_fn"]
    rows["volume_error_size"] = rows["volume_error_ml"].abs()
    rows["lesions"] = rows["lesion_tp"] + rows["lesion_fn"]
    return rows


def worst_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, the worst Dice first: one row per patient, arm and region."""
    keys = ["patient_id", "arm", "region"]
    values = [*WORST, "lesions", "volume_error_size"]
    means = rows.groupby(keys, sort=False, as_index=False)[values].mean()
    return means.sort_values(["dice", *keys], ignore_index=True)


def order_of_patients(means: pd.DataFrame) -> list[str]:
    """Patients sorted by their worst arm's Dice of the first region, the worst first."""
    return means[means["region"] == "WT"]["patient_id"].drop_duplicates().tolist()


def texts(row: pd.Series, digits: int) -> list[str]:
    """The scores of a row as text, in the order of ``WORST``; lesions with ``digits`` digits."""
    return [
        number(row["dice"], DIGITS["dice"]),
        number(row["hd95_mm"], DIGITS["hd95_mm"]),
        signed(row["volume_error_ml"], DIGITS["volume_error_ml"]),
        f"{number(row['missed'], digits)} of {number(row['lesions'], 0)}",
    ]


def prediction_facts(rows: pd.DataFrame, patient: str, prediction: Prediction) -> dict[str, Any]:
    """The page's data of a prediction, with its scores by region."""
    same = (rows[["patient_id", "split", "arm"]] == [patient, *prediction[:2]]).all(axis=1)
    by_region = [texts(row, 0) for _, row in rows[same].iterrows()]
    return {
        "name": prediction.name,
        "title": f"prediction of {prediction.arm}",
        "columns": [f"prediction, {split_words(prediction.split)}", *rows[same]["region"]],
        "rows": list(zip(TITLES.values(), *by_region, strict=True)),
    }


def table_rows(means: pd.DataFrame, seeds: int, viewed: set[str]) -> list[dict[str, Any]]:
    """Rows of the page's table; ``viewed`` patients have volumes in the page.

    Each text comes with the number to sort by. For volume errors this is the mean absolute error,
    since errors of several seeds may cancel.
    """
    rows = []
    for _, row in means.iterrows():
        keys = [float(row[KEYS.get(name, name)]) for name in WORST]
        cells = zip(texts(row, int(seeds > 1)), keys, strict=True)
        names = {name: row[name] for name in ("patient_id", "arm", "region")}
        rows.append({**names, "viewed": row["patient_id"] in viewed, "cells": list(cells)})
    return rows


def note(rows: pd.DataFrame, splits: list[str], viewed: int) -> str:
    """A note on the table and the patients in the viewer, as Markdown."""
    seeds = sorted(rows["seed"].unique())
    patients = rows["patient_id"].nunique()
    which = f"those of seed {seeds[0]}"
    if len(seeds) > 1:
        which = f"means over seeds {', '.join(map(str, seeds))}"
    text = (
        f"Each test patient in each arm, the worst Dice first. Scores are {which}. Choose a "
        "patient to see reference and prediction side by side in the viewer; its predictions are "
        f"those of {'; '.join(map(split_words, splits))}. Lesions are the connected parts of the "
        "reference in native space; a lesion is missed if no part of the prediction matches it."
    )
    if viewed < patients:
        text += (
            f" The page is full: **the viewer has {viewed} of {patients} test patients**, those "
            "with the worst Dice."
        )
    return text


def part(rows: pd.DataFrame, viewed: set[str]) -> dict[str, Any]:
    """The data of the page's template for the table, in addition to ``note``."""
    return {
        "columns": [{"title": TITLES[name], "worst": worst} for name, worst in WORST.items()],
        "arms": rows["arm"].drop_duplicates().tolist(),
        "regions": rows["region"].drop_duplicates().tolist(),
        "rows": table_rows(worst_first(rows), rows["seed"].nunique(), viewed),
    }
