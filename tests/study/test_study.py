"""The study: cells are run once, kept in tables, pooled over cohorts, and told in words."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.study import run, write_study
from workflow_scripts.study.tables import KEPT, Cell, add_cell, add_rows, cells_left

ARMS = ["real+classical", "real+classical+cutmix", "real+classical+synthetic"]
GAIN = 0.05


def fill(results: Path, cell: Cell, regions=("WT",), gain=GAIN) -> None:
    """What a finished run of one cell leaves, as far as the study reads it."""
    rng = np.random.default_rng([cell.seed, cell.n, len(cell.cohort)])
    rows = []
    for patient in range(12):
        level = 0.6 + 0.02 * patient
        for arm in ARMS:
            for region in regions:
                dice = level + gain * (arm == ARMS[-1]) + rng.normal(0, 0.01)
                rows.append({"arm": arm, "patient_id": f"p{patient}", "region": region})
                rows[-1] |= {"dice": dice, "n": cell.n, "seed": cell.seed, "split": cell.split}
    scores = pd.DataFrame(rows)
    for column in KEPT["segmentation"][1]:
        if column not in scores:
            scores[column] = 1.0
    base = {"split": cell.split}
    validation = pd.DataFrame([{**base, "arm": arm, "validation_dice": 0.7} for arm in ARMS])
    adherence = [
        {**base, "attribute": name, "draw": "first", "bias": 0.97, "p95": 4.0, "share": 0.8}
        for name in ("volume_ml", "centroid_distance_mm", "met")
    ]
    quality = {**base, "generator": "synthetic", "measure": "auc_reconstructed"}
    quality |= {"modality": "flair", "value": 0.6}
    tables = {
        "scores.csv": scores,
        "validation.csv": validation,
        "adherence.csv": pd.DataFrame(adherence),
        "quality.csv": pd.DataFrame([quality]),
        "memory.csv": pd.DataFrame([{**base, "verdict": "no copies seen"}]),
    }
    for name, table in tables.items():
        write_table(table, results / "evaluation" / name)
    roles = [("train", cell.n), ("validation", 2), ("test", 12)]
    splits = [
        {"split": cell.split, "patient_id": f"{role}{k}", "role": role}
        for role, count in roles
        for k in range(count)
    ]
    write_table(pd.DataFrame(splits), results / "cohort" / "splits.tsv")


RECORD = {
    "arms": " ".join(ARMS), "commit": "abc", "processor": "CPU", "torch": "2", "started": "now",
    "seconds": 3600,
}  # fmt: skip


def add(folder: Path, tmp_path: Path, cell: Cell, **changes) -> None:
    fill(tmp_path / "results", cell, **changes)
    add_cell(folder, cell, tmp_path / "results", RECORD)


def test_a_cell_that_is_added_again_replaces_its_rows(tmp_path):
    path = tmp_path / "t.csv"
    for cell, value in ((Cell("lgg", 5, 0), 1), (Cell("brats", 5, 0), 2), (Cell("lgg", 5, 0), 3)):
        add_rows(path, cell, pd.DataFrame({"value": [value, value]}))
    table = read_table(path)
    assert table["cohort"].tolist() == ["brats"] * 2 + ["lgg"] * 2
    assert table["value"].tolist() == [2, 2, 3, 3]


def test_a_finished_cell_is_not_run_again_unless_it_lacks_an_arm(tmp_path):
    cell, other = Cell("brats", 5, 0), Cell("brats", 5, 1)
    assert cells_left([cell, other], ARMS, tmp_path) == [cell, other]
    add(tmp_path, tmp_path, cell)
    assert cells_left([cell, other], ARMS, tmp_path) == [other]
    assert cells_left([cell, other], [*ARMS, "real"], tmp_path) == [cell, other]


def test_every_cohort_of_the_study_has_a_configuration_that_fits(tmp_path):
    for cohort, setup in run.SETUPS.items():
        settings = setup.settings()
        cells = run.wanted_cells(cohort, settings)
        assert len(set(cells)) == 10
        assert {cell.n for cell in cells[:2]} == {5, 10}
        assert settings["results"] == f"results-study-{cohort}"


def test_the_command_of_a_cell_names_its_data_and_its_split():
    command = run.command_of(run.SETUPS["brats"], "/da ta/x", Cell("brats", 10, 3))
    cohort = json.loads(command[-1].removeprefix("cohort="))
    assert cohort == {"splits": {"train_sizes": [10], "seeds": [3]}, "root": "/da ta/x"}
    phantoms = run.command_of(run.SETUPS["phantoms"], None, Cell("phantoms", 5, 0))
    assert "root" not in phantoms[-1] and "table" not in phantoms[-1]


@pytest.fixture()
def runs(monkeypatch, tmp_path):
    """Runs of a study of two cells, which are filled instead of run; the cells that were."""
    setup = run.SETUPS["lgg"].settings()
    setup["results"] = str(tmp_path / "results")
    setup["cohort"]["splits"] |= {"train_sizes": [5, 10], "seeds": [0]}
    setup["segmentation"]["arms"] = ARMS
    monkeypatch.setattr(run.Setup, "settings", lambda self: setup)
    made = []

    def call(command, **kwargs):
        if command[0] == "git":
            return subprocess.CompletedProcess(command, 0, "abc", "")
        splits = json.loads(command[-1].removeprefix("cohort="))["splits"]
        cell = Cell("lgg", splits["train_sizes"][0], splits["seeds"][0])
        made.append(cell)
        fill(tmp_path / "results", cell)
        return subprocess.CompletedProcess(command, int(cell.n == 10 and len(made) == 2))

    monkeypatch.setattr(run.subprocess, "run", call)
    monkeypatch.setattr(run, "machine", lambda: {"processor": "CPU"})
    return made


def test_a_study_that_stopped_goes_on_with_the_cell_that_failed(runs, tmp_path, capsys):
    data = tmp_path / "lgg.tsv"
    data.touch()
    with pytest.raises(UserError, match="lgg n10-s0: the run failed"):
        run.run_cells("lgg", str(data), tmp_path / "tables", None)
    run.run_cells("lgg", str(data), tmp_path / "tables", None)
    assert [cell.n for cell in runs] == [5, 10, 10]
    assert "lgg: 1 cells are left, some 0.0 hours" in capsys.readouterr().out
    run.run_cells("lgg", str(data), tmp_path / "tables", None)
    assert len(runs) == 3
    cells = read_table(tmp_path / "tables" / "cells.csv")
    assert cells["n"].tolist() == cells["training_patients"].tolist() == [5, 10]


def test_a_run_of_another_split_adds_nothing(tmp_path):
    fill(tmp_path / "results", Cell("lgg", 5, 0))
    with pytest.raises(UserError, match="no scores of real.classical.* in n10-s0"):
        add_cell(tmp_path / "t", Cell("lgg", 10, 0), tmp_path / "results", RECORD)
    assert not (tmp_path / "t").exists()


def test_patients_and_seeds_that_one_size_lacks_are_left_out():
    def arm(gain):
        rows = [
            {"n": n, "seed": seed, "patient_id": f"p{p}", "dice": 0.5 + gain + 0.01 * p}
            for n in (5, 10)
            for seed in range(3 if n == 5 else 2)
            for p in range(4 if n == 5 else 3)
        ]
        return pd.DataFrame(rows)

    found = write_study.difference(arm(0.1), arm(0.0))
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found, 0.1)


def test_data_of_the_phantoms_are_refused():
    with pytest.raises(UserError, match="phantoms: has no DATA"):
        run.run_cells("phantoms", "/data", Path("t"), None)


def test_data_that_are_not_there_are_named():
    with pytest.raises(UserError, match="brats: DATA=/nowhere does not exist; it is cohort.root"):
        run.run_cells("brats", "/nowhere", Path("t"), None)


def test_a_planted_gain_is_found_and_no_gain_is_not(tmp_path):
    for gain, verdict in ((GAIN, "better"), (0.0, "not decided"), (-GAIN, "worse")):
        folder = tmp_path / str(gain)
        for cohort in ("brats", "lgg"):
            for seed in range(5):
                for n in (5, 10):
                    add(folder, tmp_path, Cell(cohort, n, seed), gain=gain)
        text = write_study.study_text(folder)
        lines = [line for line in text.splitlines() if line.startswith("| real+classical+cutmix")]
        assert lines[0].endswith(f"| 24 | 5 | {verdict} |"), lines
    assert "| brats | 10 of 10 | abc | CPU | 10.0 |" in text
    assert "is **real+classical+synthetic**" in text
    assert "| brats | 5 | 0.97 | 4.0 | 0.80 | flair 0.60 |" in text


def test_an_unfinished_study_has_no_verdict(tmp_path):
    for cohort in ("brats", "lgg"):
        for seed in range(4):
            add(tmp_path / "t", tmp_path, Cell(cohort, 5, seed))
    text = write_study.study_text(tmp_path / "t")
    line = next(x for x in text.splitlines() if x.startswith("| real+classical+cutmix"))
    assert line.endswith("| – | 24 | 4 | not finished |") and "brats, lgg" in line


def test_pooled_means_weigh_patients_and_intervals_cover_the_truth():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        tables = []
        for patients in (18, 40):
            values = 0.03 + rng.normal(0, 0.02, (1, 5)) + rng.normal(0, 0.05, (patients, 1))
            tables.append(pd.DataFrame(values + rng.normal(0, 0.05, (patients, 5))))
        found = write_study.pool(tables)
        weighed = sum(table.to_numpy().mean() * len(table) for table in tables) / 58
        assert found["mean"] == pytest.approx(weighed)
        assert (found["p"] < 0.05) == (found["low"] > 0 or found["high"] < 0)
        covered += found["low"] < 0.03 < found["high"]
    assert 180 <= covered < 200


def test_the_document_says_what_is_in_the_tables():
    """``make study`` writes both; what is committed is what it wrote."""
    text = write_study.DOCUMENT.read_text(encoding="utf-8")
    between = text.split("<!-- study: begin -->\n")[1].split("<!-- study: end -->\n")[0]
    assert between == write_study.study_text(run.TABLES)
