"""Scores in native space, as text."""

import numpy as np
import pandas as pd

from workflow_scripts.evaluation.native_scores import MEANS, NATIVE, native_text


def cells(text: str) -> list[dict[str, str]]:
    """Rows of the Markdown table that a text begins with."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(split[0], row, strict=True)) for row in split[2:]]


def scores() -> pd.DataFrame:
    """An arm with a patient found, one missed and one without the region, and a second arm."""
    table = pd.DataFrame(
        {"n": 8, "arm": ["b", "b", "b", "a"], "patient_id": list("pqrp"), "region": "ET"}
    )
    for name in MEANS:
        missing = 1.0 if name == "native_dice" else np.nan
        table[name] = [0.5, 0.0, missing, 0.25]
    table["official_hd95_voxels"] = [2.5, np.inf, np.nan, np.inf]
    return table.assign(lesion_tp=[2, 0, 0, 1], lesion_fp=[1, 3, 0, 0], lesion_fn=[0, 4, 0, 1])


def test_a_row_for_each_arm_in_the_order_of_the_table():
    first, second = cells(native_text(scores()))
    assert (first["n"], first["arm"], first["region"]) == ("8", "b", "ET")
    assert second["arm"] == "a" and second["Dice"] == "0.250"
    assert first["lesions matched / extra / missed"] == "2 / 4 / 4"


def test_infinite_and_missing_values_are_counted_not_dropped():
    first, second = cells(native_text(scores()))
    assert first["Dice"] == "0.500"
    assert first["official Dice"] == "0.250 + 1 –"
    assert first["official HD95 (voxels)"] == "2.5 + 1 ∞ + 1 –"
    assert second["official HD95 (voxels)"] == "1 ∞"


def test_each_number_is_defined_under_the_table():
    for title in cells(native_text(scores()))[0]:
        assert title.removesuffix(" (voxels)").removesuffix(" (mm)") in NATIVE or title in (
            "n",
            "arm",
            "region",
        )
