"""The study: cells are run once, kept in tables, pooled over cohorts, and told in words."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.common.files import UserError, read_table, write_json, write_table
from workflow_scripts.study import repeat_cell, run, write_study
from workflow_scripts.study.cells import (
    OF_ARMS,
    Cell,
    add_arm,
    add_rows,
    arms_left,
    needs_generator,
)

ARMS = ["real+classical", "real+classical+cutmix", "real+classical+synthetic"]
GAIN = 0.05


def scores_of(cell: Cell, gain=GAIN) -> pd.DataFrame:
    """Scores of a run of one cell, the last arm's higher by ``gain``."""
    rng = np.random.default_rng([cell.seed, cell.n, len(cell.cohort)])
    rows = []
    for patient in range(12):
        level = 0.6 + 0.02 * patient
        for arm in ARMS:
            dice = level + gain * (arm == ARMS[-1]) + rng.normal(0, 0.01)
            rows.append({"arm": arm, "patient_id": f"p{patient}", "region": "WT", "dice": dice})
            rows[-1] |= {**cell.key, "split": cell.split}
    return pd.DataFrame(rows)


def fill(results: Path, cell: Cell, seconds=1200) -> None:
    """What a finished run of one cell leaves, as far as the study reads it; each network was
    trained for so many seconds of CPU time."""
    scores = scores_of(cell).drop(columns="cohort")
    for column in OF_ARMS["segmentation"][1]:
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
    for arm in ARMS:
        model = results / "segmentation" / cell.split / arm / "model"
        model.mkdir(parents=True, exist_ok=True)
        write_json({"precision": "fp32"}, model / "config.json")
        benchmark = results / "benchmarks" / "segmentation" / "train_segmentation" / cell.split
        write_table(pd.DataFrame({"cpu_time": [seconds]}), benchmark / f"{arm}.tsv")


RECORD = {"commit": "abc", "processor": "CPU", "torch": "2", "started": "now"}


def add(folder: Path, tmp_path: Path, cell: Cell, arms=ARMS, seconds=1200) -> None:
    fill(tmp_path / "results", cell, seconds)
    for arm in arms:
        add_arm(folder, cell, arm, tmp_path / "results", RECORD)


def test_arms_of_other_generators_need_none_of_ours():
    assert needs_generator("real+classical+implanted") and needs_generator(ARMS[2])
    assert not any(map(needs_generator, [ARMS[0], "real+classical+gan3d"]))
    assert write_study.ours([*ARMS, "real+classical+ldm3d"]) == [ARMS[2]]


def test_an_arm_that_is_added_again_replaces_its_rows_alone(tmp_path):
    cell = Cell("lgg", 5, 0)
    for arm in ("a", "b", "a"):
        add_rows(tmp_path / "t.csv", cell, pd.DataFrame({"arm": [arm], "value": [arm]}), arm)
    assert read_table(tmp_path / "t.csv")["arm"].tolist() == ["b", "a"]


def test_a_cell_that_is_added_again_replaces_its_rows(tmp_path):
    path = tmp_path / "t.csv"
    for cell, value in ((Cell("lgg", 5, 0), 1), (Cell("brats", 5, 0), 2), (Cell("lgg", 5, 0), 3)):
        add_rows(path, cell, pd.DataFrame({"value": [value, value]}))
    table = read_table(path)
    assert table["cohort"].tolist() == ["brats"] * 2 + ["lgg"] * 2
    assert table["value"].tolist() == [2, 2, 3, 3]


def test_only_arms_that_are_not_finished_are_left(tmp_path):
    cell, other = Cell("brats", 5, 0), Cell("brats", 5, 1)
    everything = [(each, arm) for each in (cell, other) for arm in ARMS]
    assert arms_left([cell, other], ARMS, tmp_path) == everything
    add(tmp_path, tmp_path, cell, ARMS[:2])
    assert arms_left([cell, other], ARMS, tmp_path) == everything[2:]
    # The generator's tables come with its arm.
    assert not (tmp_path / "quality.csv").exists()
    add(tmp_path, tmp_path, cell, ARMS[2:])
    assert (tmp_path / "quality.csv").is_file()
    assert arms_left([cell, other], ARMS, tmp_path) == everything[3:]
    assert arms_left([cell], [*ARMS, "real"], tmp_path) == [(cell, "real")]


def test_every_cohort_of_the_study_has_a_configuration_that_fits(tmp_path):
    for cohort, setup in run.SETUPS.items():
        settings = setup.settings()
        cells = run.wanted_cells(cohort, settings)
        assert len(set(cells)) == 10
        assert {cell.n for cell in cells[:2]} == {5, 10}
        assert settings["results"] == f"results-study-{cohort}"


def values_of(command: list[str]) -> dict:
    """What a command sets, by section."""
    settings = (value.split("=", 1) for value in command if "={" in value)
    return {name: json.loads(value) for name, value in settings}


def test_the_command_of_a_cell_names_its_data_its_cell_and_its_tables():
    cell = Cell("brats", 10, 3)
    command = run.command_of(run.SETUPS["brats"], "/da ta/x", cell, ARMS[:2], "r")
    expected = {"splits": {"train_sizes": [10], "seeds": [3]}, "root": "/da ta/x"}
    assert values_of(command) == {"cohort": expected, "segmentation": {"arms": ARMS[:2]}}
    assert command[-2:] == ["r/evaluation/scores.csv", "r/evaluation/validation.csv"]
    phantoms = run.command_of(run.SETUPS["phantoms"], None, Cell("phantoms", 5, 0), ARMS, "r")
    assert not {"root", "table"} & set(values_of(phantoms)["cohort"])
    assert phantoms[-1] == "r/evaluation/memory.csv"


@pytest.fixture()
def runs(monkeypatch, tmp_path):
    """Runs of a study of two cells, which are filled instead of run; the trainings that were, of
    which the second fails."""
    setup = run.SETUPS["lgg"].settings()
    setup["results"] = str(tmp_path / "results")
    setup["cohort"]["splits"] |= {"train_sizes": [5, 10], "seeds": [0]}
    setup["segmentation"]["arms"] = ARMS
    monkeypatch.setattr(run.Setup, "settings", lambda self: setup)
    trainings = []

    def call(command, **kwargs):
        if command[0] == "git":
            return subprocess.CompletedProcess(command, 0, "abc", "")
        values = values_of(command)
        splits = values["cohort"]["splits"]
        cell = Cell("lgg", splits["train_sizes"][0], splits["seeds"][0])
        trainings.append((cell.n, *values["segmentation"]["arms"]))
        [results] = [Path(v[8:]) for v in command if v.startswith("results=")]
        fill(results, cell)
        return subprocess.CompletedProcess(command, int(len(trainings) == 2))

    monkeypatch.setattr(run.subprocess, "run", call)
    monkeypatch.setattr(run, "machine", lambda: {"processor": "CPU"})
    return trainings


@pytest.fixture()
def study(tmp_path):
    """The study of those runs, and its cells."""
    data = tmp_path / "lgg.tsv"
    data.touch()
    return run.Study("lgg", str(data), tmp_path / "tables", str(tmp_path / "results"))


CELLS = [Cell("lgg", 5, 0), Cell("lgg", 10, 0)]


def test_a_study_that_stopped_goes_on_with_the_arms_that_failed(runs, study, capsys):
    with pytest.raises(UserError, match="lgg n5-s0 real.classical.synthetic: the run failed"):
        study.run_cells(CELLS, ARMS)
    # Arms without a generator are one run, those with it another.
    without, ours = (5, *ARMS[:2]), (5, ARMS[2])
    assert runs == [without, ours]
    study.run_cells(CELLS, ARMS)
    assert runs == [without, ours, ours, (10, *ARMS[:2]), (10, ARMS[2])]
    assert (
        "lgg: 4 trainings are left, some 1.3 CPU hours without the generator"
        in capsys.readouterr().out
    )
    study.run_cells(CELLS, ARMS)
    assert len(runs) == 5
    records = read_table(study.folder / "arms.csv")
    assert records["n"].tolist() == records["training_patients"].tolist() == [5] * 3 + [10] * 3
    assert set(records["precision"]) == {"fp32"} and set(records["seconds"]) == {1200}


def test_time_left_counts_each_arm_by_its_own(tmp_path):
    add(tmp_path, tmp_path, CELLS[0], ARMS[:1], 3600)
    add(tmp_path, tmp_path, CELLS[0], ARMS[2:], 7200)
    assert "some 3.0 CPU hours without the generator" in run.time_left(
        "lgg", [ARMS[0], ARMS[2]], tmp_path
    )
    # An arm that is not known takes the mean of those that are.
    assert "some 1.5 CPU hours without the generator" in run.time_left("lgg", [ARMS[1]], tmp_path)


def test_a_run_of_another_split_adds_nothing(tmp_path):
    fill(tmp_path / "results", Cell("lgg", 5, 0))
    with pytest.raises(UserError, match="no scores of real.classical in n10-s0"):
        add_arm(tmp_path / "t", Cell("lgg", 10, 0), ARMS[0], tmp_path / "results", RECORD)
    assert not (tmp_path / "t").exists()


def test_cells_and_arms_that_the_study_lacks_are_refused():
    settings = run.SETUPS["brats"].settings()
    with pytest.raises(
        UserError, match="CELL=n7-s0: is not a cell of the study; the cells are n5-s0, n10"
    ):
        run.chosen_cells("brats", settings, "n7-s0")
    assert run.chosen_cells("brats", settings, "n10-s4") == [Cell("brats", 10, 4)]
    with pytest.raises(
        UserError, match="ARMS: synthetic is not an arm of the study; the arms are real"
    ):
        run.chosen_arms(settings, "real+classical synthetic")
    assert run.chosen_arms(settings, " ".join(ARMS)) == ARMS


def repeat(monkeypatch, tmp_path, study, cell="n5-s0") -> int:
    """Exit status of ``make study-cell`` for two arms."""
    monkeypatch.chdir(tmp_path)
    arguments = ["lgg", study.data, "--tables", str(study.folder), "--arms", " ".join(ARMS[:2])]
    monkeypatch.setattr("sys.argv", ["repeat_cell", *arguments, "--cell", cell])
    with pytest.raises(SystemExit) as stop:
        repeat_cell.main()
    return stop.value.code


def test_a_repeated_cell_is_compared_with_the_committed_scores(
    runs, study, monkeypatch, tmp_path, capsys
):
    runs.append("the one that fails")
    runs.append("is past")
    assert "no cell of the study is finished" in repeat(monkeypatch, tmp_path, study)
    study.run_cells(CELLS[:1], ARMS)
    committed = (study.folder / "segmentation.csv").read_bytes()
    assert repeat(monkeypatch, tmp_path, study) == 0
    assert "The same to the third digit." in capsys.readouterr().out
    assert (study.folder / "segmentation.csv").read_bytes() == committed
    # Each time it is run again.
    assert runs[-1] == (5, *ARMS[:2]) and len(runs) == 2 + 2 + 1
    # Scores that differ are seen, and forgiven on another processor alone.
    table = read_table(study.folder / "segmentation.csv")
    table["dice"] += 0.002 * (table["arm"] == ARMS[1])
    write_table(table, study.folder / "segmentation.csv")
    assert repeat(monkeypatch, tmp_path, study) == 1
    assert "Not the same to the third digit." in capsys.readouterr().out
    records = read_table(study.folder / "arms.csv").assign(processor="another")
    write_table(records, study.folder / "arms.csv")
    assert repeat(monkeypatch, tmp_path, study) == 0
    assert "The CPU or the precision differs" in capsys.readouterr().out
    assert "has no real+classical in lgg n10-s0" in repeat(monkeypatch, tmp_path, study, "n10-s0")


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
    with pytest.raises(UserError, match="phantoms: takes no DATA"):
        run.check_data("phantoms", "/data")


def test_data_that_are_not_there_are_named():
    with pytest.raises(UserError, match="brats: DATA=/nowhere does not exist; it is cohort.root"):
        run.check_data("brats", "/nowhere")


def answer(cells: list[Cell], gain: float, finished: bool) -> tuple[str, str]:
    """The main question's row against CutMix, where scores have a planted gain; and all of it."""
    scores = pd.concat([scores_of(cell, gain) for cell in cells])
    validation = pd.DataFrame([
        {**cell.key, "arm": arm, "validation_dice": 0.7} for cell in cells for arm in ARMS
    ])  # fmt: skip
    text = "\n".join(write_study.main_question(scores, validation, finished))
    return next(x for x in text.splitlines() if x.startswith("| real+classical+cutmix")), text


def test_a_planted_gain_is_found_and_no_gain_is_not():
    cells = [Cell(c, n, seed) for c in ("brats", "lgg") for n in (5, 10) for seed in range(5)]
    for gain, verdict in ((GAIN, "better"), (0.0, "not decided"), (-GAIN, "worse")):
        line, text = answer(cells, gain, True)
        assert line.endswith(f"| 24 | 5 | {verdict} |"), line
        assert "is **real+classical+synthetic**" in text
        line, _ = answer(cells, gain, False)
        assert line.endswith("| – | 24 | 5 | not finished |") and "brats, lgg" in line


def test_arms_are_chosen_by_the_cells_that_they_share():
    rows = [(5, ARMS[2], 0.70), (5, "real+classical+implanted", 0.69)]
    rows += [(10, "real+classical+implanted", 0.80)]
    table = pd.DataFrame(rows, columns=["n", "arm", "validation_dice"]).assign(cohort="lgg", seed=0)
    arms = [ARMS[2], "real+classical+implanted"]
    assert write_study.choose_arm(table, arms) == ARMS[2]
    assert write_study.choose_arm(table, ["none"]) is None


def test_a_study_is_finished_when_each_arm_of_each_cell_is(monkeypatch):
    settings = run.SETUPS["brats"].settings()
    monkeypatch.setattr(run.Setup, "settings", lambda self: settings)
    wanted = [
        training for cohort in ("brats", "lgg") for training in write_study.wanted_arms(cohort)
    ]
    assert len(wanted) == 2 * 10 * 7
    records = pd.DataFrame(wanted, columns=["cohort", "n", "seed", "arm"])
    assert write_study.is_finished(records)
    assert not write_study.is_finished(records.iloc[1:])


def test_the_text_tells_what_is_finished_and_what_the_generator_made(tmp_path):
    add(tmp_path / "t", tmp_path, Cell("brats", 5, 0))
    text = write_study.study_text(tmp_path / "t")
    assert "| brats | 3 of 70 | abc | CPU | fp32 | 1.0 |" in text
    assert "| brats | 5 | 0.97 | 4.0 | 0.80 | flair 0.60 |" in text


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
