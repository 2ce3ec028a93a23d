"""Settings that are tried on patients that the study does not test."""

import json
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
             + rng.normal(0, 0.005), "nsd": 1.0}
            for arm in json.loads(section)["arms"] for patient in range(14)
            for region in ("TC", "WT")
        ]  # fmt: skip
        write_table(pd.DataFrame(rows), results / "evaluation" / "scores.csv")
        return True

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(develop, "run_snakemake", run_snakemake)
    monkeypatch.setattr(develop, "commit", lambda: "gabc")

    def try_settings(*arguments):
        words = ["develop", "brats", str(tmp_path), "--tables", "tables", *arguments]
        monkeypatch.setattr(sys, "argv", words)
        develop.main()
        return commands

    return try_settings


def test_a_planted_gain_is_in_the_table_with_the_settings(tried):
    Path("tried.yaml").write_text("synthesis:\n  patients: 100\n")
    tried("--arms", "real+classical")
    [_, command] = tried("--settings", "tried.yaml", "--arms", "real+classical+synthetic")
    files = command[command.index("--configfile") + 1 : command.index("--config")]
    assert files[-2:] == ["config/development.yaml", "tried.yaml"]
    plain, gained = develop.rows(Path("tables/development.csv"))
    assert plain[:4] == ["brats", "as in the study", "real+classical", "14"]
    assert plain[-1] == "0.000 [0.000, 0.000]"
    assert gained[1:3] == ["`{synthesis: {patients: 100}}`", "real+classical+synthetic"]
    value, low = float(gained[-1].split()[0]), float(gained[-1].split("[")[1].split(",")[0])
    assert value == pytest.approx(GAIN, abs=0.005) and low > 0
    # Whole tumour, core, and no enhancing tumour.
    assert gained[6] == "–" and 0.6 < float(gained[4]) < 0.8
    assert "real+classical+synthetic | 14 |" in "".join(
        development_text(Path("tables/development.csv"))
    )


def test_a_run_that_is_repeated_replaces_its_rows_alone(tried):
    for _ in range(2):
        tried("--arms", "real+classical real+classical+synthetic")
    table = read_table(Path("tables/development.csv"))
    assert len(table) == 2 * 14 * 2
    assert set(table["commit"]) == {"gabc"}


def test_development_trains_on_as_many_patients_as_its_document_says():
    root = Path(__file__).resolve().parents[2]
    splits = yaml.safe_load((root / develop.CONFIGURATION).read_text())["cohort"]["splits"]
    assert splits["scheme"] == "development" and splits["train_sizes"] == [6]
