"""Settings that are tried on patients that the study does not test."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.study import develop
from workflow_scripts.study.write_study import development_text

GAIN = 0.04


@pytest.fixture()
def tried(monkeypatch, tmp_path):
    """Run the command with some arguments; Snakemake is replaced by scores in which synthetic
    patients add ``GAIN``. Returns Snakemake's commands."""
    commands = []

    def run_snakemake(command):
        commands.append(command)
        [results] = [Path(word[8:]) for word in command if word.startswith("results=")]
        [section] = [word[13:] for word in command if word.startswith("segmentation=")]
        rng = np.random.default_rng(0)
        rows = [
            {"arm": arm, "split": f"fold{patient % 2 + 1}-s0", "patient_id": f"p{patient:02d}",
             "region": region, "dice": 0.5 + 0.02 * patient + GAIN * ("synthetic" in arm)
             + rng.normal(0, 0.02), "nsd": 1.0}
            for arm in json.loads(section)["arms"] for patient in range(14)
            for region in ("TC", "WT")
        ]  # fmt: skip
        write_table(pd.DataFrame(rows), tmp_path / results / "evaluation" / "scores.csv")
        return True

    monkeypatch.setattr(develop, "run_snakemake", run_snakemake)
    monkeypatch.setattr(develop, "commit", lambda: "gabc")
    add_run = develop.add_run
    monkeypatch.setattr(
        develop,
        "add_run",
        lambda folder, cohort, text, results, code: add_run(
            folder, cohort, text, tmp_path / results, code
        ),
    )

    def call(*arguments):
        words = ["brats", str(tmp_path), "--tables", str(tmp_path / "tables"), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", ["develop", *words])
        develop.main()
        return commands

    return call


def test_a_planted_gain_is_in_the_table_with_the_settings(tried, tmp_path):
    tried()
    file, table = tmp_path / "tried.yaml", tmp_path / "tables" / "development.csv"
    file.write_text("synthesis:\n  patients: 100\n")
    [first, command] = tried("--settings", file, "--arms", "real+classical+synthetic")
    files = command[command.index("--configfile") + 1 : command.index("--config")]
    assert files[-2:] == ["config/development.yaml", str(file)]
    # Without --arms, all arms of the study are tried.
    assert "real+classical+tumorcp" in str(first)
    plain, gained = (line for line in develop.rows(table) if line[1].startswith("`"))
    assert plain[:4] == ["brats", "`{synthesis: {patients: 100}}`", "real+classical", "14"]
    assert plain[7] == "–" and gained[2] == "real+classical+synthetic"
    # Mean Dice of whole tumour and core; there is no enhancing tumour.
    assert float(gained[4]) - float(plain[4]) == pytest.approx(GAIN, abs=0.02)
    assert gained[6] == "–"
    value, low, high = map(float, re.findall(r"[\d.]+", gained[7].replace("−", "-")))
    assert value == pytest.approx(GAIN, abs=0.015)
    # One seed: mostly the assumed spread between seeds.
    assert high - value == pytest.approx(1.96 * 0.035, rel=0.05)
    assert "real+classical+synthetic | 14 |" in "".join(development_text(table))


def test_arms_of_other_code_are_not_compared(tried, monkeypatch, tmp_path):
    tried("--arms", "real+classical+synthetic")
    path = tmp_path / "tables" / "development.csv"
    table = read_table(path)
    table.loc[table["arm"] == "real+classical", "commit"] = "gother"
    write_table(table, path)
    assert [line[7] for line in develop.rows(path)] == ["–", "–"]


def test_which_patients_take_part_is_not_a_setting_to_try(tried, tmp_path):
    file = tmp_path / "tried.yaml"
    for text, words in (
        ("cohort: {splits: {test: 2}}", "cohort is the study's; remove it"),
        ("synthesis: {patents: 3}", "did you mean synthesis.patients"),
    ):
        file.write_text(text)
        with pytest.raises(SystemExit, match=words):
            tried("--settings", file)


def test_a_run_that_is_repeated_replaces_its_rows_alone(tried, tmp_path):
    for _ in range(2):
        tried("--arms", "real+classical real+classical+synthetic")
    table = read_table(tmp_path / "tables" / "development.csv")
    assert len(table) == 2 * 14 * 2
    assert set(table["commit"]) == {"gabc"}


def test_development_trains_on_as_many_patients_as_its_document_says():
    root = Path(__file__).resolve().parents[2]
    splits = yaml.safe_load((root / develop.CONFIGURATION).read_text())["cohort"]["splits"]
    assert splits["scheme"] == "development" and splits["train_sizes"] == [6]
