"""The test patients one by one, worst first: their scores, and the predictions behind them."""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from workflow_scripts.common.patients import patient_folders
from workflow_scripts.common.words import split_words
from workflow_scripts.evaluation.tables import DIGITS, HEADINGS, number, signed

# Of these columns of ``scores.csv``, and whether high or low values are the bad ones.
WORST = {"dice": "low", "hd95_mm": "high", "volume_error_ml": "high", "missed": "high"}
# What rows are sorted by in place of a column.
KEYS = {"volume_error_ml": "volume_error_size"}
TITLES = {name: HEADINGS.get(name, "Lesions missed") for name in WORST}


class Prediction(NamedTuple):
    """A test patient's label map as a network of one split and arm predicts it, on the grid."""

    split: str
    arm: str
    file: Path

    @property
    def name(self) -> str:
        """Its name among the patient's volumes."""
        return f"prediction {self.arm}"


def predictions_by_patient(folders: list[str]) -> dict[str, list[Prediction]]:
    """Each test patient's predictions, from the folders ``<split>/<arm>/predictions``."""
    predictions = defaultdict(list)
    for folder in map(Path, folders):
        split, arm = folder.parts[-3:-1]
        for patient in patient_folders(folder):
            predictions[patient.name].append(Prediction(split, arm, patient / "label.nii.gz"))
    return predictions


def with_lesions(scores: pd.DataFrame, shown: str) -> pd.DataFrame:
    """Rows of ``scores.csv`` of the splits that train on as many patients as the split ``shown``,
    with the number of the reference's lesions, and of those that were missed."""
    n = scores.loc[scores["split"] == shown, "n"].iloc[0]
    rows = scores[scores["n"] == n].copy()
    rows["patient_id"] = rows["patient_id"].astype(str)
    rows["missed"] = rows["lesion_fn"]
    rows["volume_error_size"] = rows["volume_error_ml"].abs()
    rows["lesions"] = rows["lesion_tp"] + rows["lesion_fn"]
    return rows


def worst_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, the worst Dice first: a row for each patient, arm and region."""
    keys = ["patient_id", "arm", "region"]
    values = [*WORST, "lesions", "volume_error_size"]
    means = rows.groupby(keys, sort=False, as_index=False)[values].mean()
    return means.sort_values(["dice", *keys], ignore_index=True)


def order_of_patients(means: pd.DataFrame) -> list[str]:
    """Patients by their worst arm's Dice of the first region, the worst first."""
    return means[means["region"] == "WT"]["patient_id"].drop_duplicates().tolist()


def texts(row: pd.Series, digits: int) -> list[str]:
    """The scores of a row as text, in the order of ``WORST``; lesions with this many digits."""
    return [
        number(row["dice"], DIGITS["dice"]),
        number(row["hd95_mm"], DIGITS["hd95_mm"]),
        signed(row["volume_error_ml"], DIGITS["volume_error_ml"]),
        f"{number(row['missed'], digits)} of {number(row['lesions'], 0)}",
    ]


def prediction_facts(rows: pd.DataFrame, patient: str, prediction: Prediction) -> dict[str, Any]:
    """A prediction as the page knows it, with the scores of that one prediction by region."""
    same = (rows[["patient_id", "split", "arm"]] == [patient, *prediction[:2]]).all(axis=1)
    by_region = [texts(row, 0) for _, row in rows[same].iterrows()]
    return {
        "name": prediction.name,
        "title": f"prediction of {prediction.arm}",
        "columns": [f"prediction, {split_words(prediction.split)}", *rows[same]["region"]],
        "rows": list(zip(TITLES.values(), *by_region, strict=True)),
    }


def table_rows(means: pd.DataFrame, seeds: int, viewed: set[str]) -> list[dict[str, Any]]:
    """Rows of the page's table; of ``viewed`` patients the page has the volumes.

    Beside each text stands the number to sort by: of an error of volume, its mean size, since the
    errors of several seeds may cancel.
    """
    rows = []
    for _, row in means.iterrows():
        keys = [float(row[KEYS.get(name, name)]) for name in WORST]
        cells = zip(texts(row, int(seeds > 1)), keys, strict=True)
        names = {name: row[name] for name in ("patient_id", "arm", "region")}
        rows.append({**names, "viewed": row["patient_id"] in viewed, "cells": list(cells)})
    return rows


def note(rows: pd.DataFrame, splits: list[str], viewed: int) -> str:
    """What the table shows, and what of it is in the viewer, as Markdown."""
    seeds = sorted(rows["seed"].unique())
    patients = rows["patient_id"].nunique()
    which = f"those of seed {seeds[0]}"
    if len(seeds) > 1:
        which = f"means over seeds {', '.join(map(str, seeds))}"
    text = (
        f"Each test patient in each arm, the worst Dice first. Scores are {which}. Choose a "
        "patient to see reference and prediction side by side in the viewer; its predictions are "
        f"those of {'; '.join(map(split_words, splits))}. Lesions are the connected parts of the "
        "reference in native space; one is missed where no part of the prediction matches it."
    )
    if viewed < patients:
        text += (
            f" The page is full: **the viewer has {viewed} of {patients} test patients**, those "
            "with the worst Dice."
        )
    return text


def part(rows: pd.DataFrame, viewed: set[str]) -> dict[str, Any]:
    """What the page's template needs for the table, beside ``note``."""
    return {
        "columns": [{"title": TITLES[name], "worst": worst} for name, worst in WORST.items()],
        "arms": rows["arm"].drop_duplicates().tolist(),
        "regions": rows["region"].drop_duplicates().tolist(),
        "rows": table_rows(worst_first(rows), rows["seed"].nunique(), viewed),
    }
