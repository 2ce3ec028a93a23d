"""The curves of `make curves`: which runs they are made of, and what is drawn."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import Named

from workflow_scripts.bench import run_ldm3d
from workflow_scripts.bench.collect_curves import against_steps, against_time, with_times
from workflow_scripts.bench.monai_ldm3d import VolumeSystem
from workflow_scripts.bench.run_ldm3d import VolumeDiffusion, scores, volume
from workflow_scripts.bench.run_setup import main as run_setup
from workflow_scripts.bench.runs import priors, run_values, runs, shared_values
from workflow_scripts.common.files import UserError
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.configuration import check, read_config
from workflow_scripts.synthesis.request_table import CENTROID

ROOT = Path(__file__).resolve().parents[2]
CONFIG = read_config(ROOT / "config.yaml", ROOT / "config" / "curves.yaml")
RUNS = {name: run for name, run in runs(CONFIG.bench).items() if run["setup"]}
TINY = read_config(ROOT / "config.yaml", ROOT / "config" / "tiny.yaml")


def test_each_length_of_training_is_a_run():
    found = runs(CONFIG.bench)
    paper = CONFIG.bench.curves["paper"]
    first = {"autoencoder": paper.autoencoder_steps[0], "diffusion": paper.diffusion_steps[0]}
    assert found["paper-1"]["steps"] == first
    assert found["ldm3d-2"]["setup"] is None
    assert found["sampling-12"]["steps"] == {"synthesis": 12}


def test_a_run_has_its_networks_and_our_patients():
    values = run_values(ROOT, CONFIG, runs(CONFIG.bench)["paper-2"])
    assert values["autoencoder"]["widths"] == [128, 256, 384, 512]
    assert values["diffusion"]["steps"] == CONFIG.bench.curves["paper"].diffusion_steps[1]
    assert values["synthesis"]["guidance"] == 1
    assert values["synthesis"]["jitter_mm"] == CONFIG.synthesis.jitter_mm
    for section in ("cohort", "modalities", "grid", "seed"):
        assert values[section] == CONFIG.model_dump(mode="json")[section]


def test_one_more_point_makes_no_other_run_stale():
    values = CONFIG.model_dump(mode="json")
    values["bench"]["curves"]["paper"]["autoencoder_steps"].append(99)
    values["bench"]["curves"]["paper"]["diffusion_steps"].append(99)
    values["bench"]["sampling_steps"].append(99)
    more = check(values)
    found = runs(CONFIG.bench)
    assert set(runs(more.bench)) - set(found) == {"paper-4", "sampling-99"}
    for name, run in RUNS.items():
        assert run_values(ROOT, CONFIG, run) == run_values(ROOT, more, run), name
    assert shared_values(CONFIG) == shared_values(more)


def test_sampling_steps_change_nothing_that_is_trained():
    found = runs(CONFIG.bench)
    few, many = (run_values(ROOT, CONFIG, found[f"sampling-{n}"]) for n in (2, 48))
    assert few["synthesis"].pop("sampling_steps") == 2
    assert many["synthesis"].pop("sampling_steps") == 48
    assert few == many


def test_a_run_samples_its_own_model_wherever_it_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("patients.tsv").touch()
    values = CONFIG.model_dump(mode="json")
    values["cohort"] |= {"source": "table", "table": "patients.tsv", "label_scheme": "msd"}
    requests = pd.DataFrame({"volume_ml": [30.0], **dict.fromkeys(CENTROID, [0.0])})
    requests.to_csv("mine.tsv", sep="\t", index=False)
    values["synthesis"]["requests"] = "mine.tsv"
    found = run_values(ROOT, check(values), runs(CONFIG.bench)["sbldm-1"])
    assert found["cohort"]["table"] == str(tmp_path / "patients.tsv")
    assert found["autoencoder"]["prior"] == "embedded"
    assert found["synthesis"]["requests"] is None


def test_a_run_depends_on_the_weights_that_it_starts_from():
    found = {name: priors(run_values(ROOT, CONFIG, run)) for name, run in RUNS.items()}
    assert [path.is_file() for path in found["sbldm-1"]] == [True, True]
    assert found["scratch-1"] == []


def test_volumes_that_the_networks_cannot_take_are_named():
    run = runs(CONFIG.bench)["paper-1"]
    with pytest.raises(UserError, match="bench.curves: config/paper.yaml on these volumes: .*32"):
        run_values(ROOT, TINY, run)


def test_a_run_that_fails_names_its_log(tmp_path):
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text("rule other:\n    output: 'nothing'\n    shell: 'false'\n")
    params = {"folder": str(tmp_path / "run"), "shared": str(tmp_path / "shared")}
    params |= {"configuration": {}, "snakefile": str(snakefile), "split": "n2-s0"}
    log = tmp_path / "log"
    job = Named(params=Named(params), output=Named(), log=[str(log)], threads=1)
    with pytest.raises(UserError, match="the run in .* failed; see"):
        run_setup(job)
    assert "MissingRuleException" in log.read_text()


@pytest.fixture
def small_networks(monkeypatch):
    """Of the example's networks a step takes seconds; smaller ones have the same parts."""

    class Small(VolumeSystem):
        autoencoder_widths, denoiser_widths = (32, 32, 32), (32, 64, 64)
        evaluations = 2

    monkeypatch.setattr(run_ldm3d, "VolumeSystem", Small)


@pytest.fixture
def low_patients(patients, tmp_path) -> list[Path]:
    """Patients of 16 slices, which the example's networks can halve as often as they do."""
    folders = [tmp_path / folder.name for folder in patients[:2]]
    for source, target in zip(map(Patient, patients), folders, strict=False):
        volumes = (source.image(), source.label(), source.brain())
        save_patient(target, *(array[..., :16] for array in volumes), np.eye(4))
    return folders


def test_monais_example_learns_and_makes_patients(small_networks, low_patients):
    values = TINY.model_dump(mode="json")
    values["grid"]["shape"] = [32, 32, 16]
    config = check(values)
    volumes = [volume(folder, config.labels) for folder in low_patients]
    torch.manual_seed(0)
    model = VolumeDiffusion(config, volumes, seed=0)
    before = pd.DataFrame(scores(model, low_patients, config.labels))["psnr_db"].mean()
    model.train_autoencoder(8)
    after = pd.DataFrame(scores(model, low_patients, config.labels))["psnr_db"].mean()
    assert after > before
    assert model.encode(volumes[0]).std() == pytest.approx(1, abs=1e-3)
    model.train_denoiser(2)
    image, label, inside = model.sample(1)
    assert image.shape == (2, *config.grid.shape)
    assert label.shape == inside.shape == tuple(config.grid.shape)
    assert np.isfinite(image).all()
    again = model.sample(1)
    assert np.array_equal(image, again[0])


def curve(system: str, steps: int, seconds: float, distance: float | None) -> pd.DataFrame:
    """What is measured of a run."""
    times = {"autoencoder": seconds, "encoding": 1.0, "diffusion": 2 * seconds, "sampling": 5.0}
    measured = {"psnr_db": 20 + seconds, "label_dice": 0.5, "patients": 8}
    if distance is not None:
        measured |= {"frechet": distance, "kernel": distance / 100}
    rows = [{"measure": name, "value": value, "floor": np.nan} for name, value in measured.items()]
    table = pd.DataFrame(rows).assign(system=system, steps=steps, **times)
    table.loc[table["measure"] == "frechet", "floor"] = 10.0
    return table


def test_only_what_decides_a_measure_counts_as_its_time():
    table = with_times(curve("paper", 3, 60, 12.0)).set_index("measure")["training_seconds"]
    assert table["psnr_db"] == 60
    assert table["frechet"] == 60 + 1 + 120


def test_a_line_for_each_system_and_the_floor_dashed():
    tables = [
        curve("paper", 1, 60, None),
        curve("paper", 2, 180, 40.0),
        curve("sbldm", 1, 30, 12.0),
    ]
    axes = against_time(with_times(pd.concat(tables))).axes
    assert [line.get_label() for line in axes[0].lines] == ["paper", "sbldm"]
    # Without one usable patient a run has no distance.
    distances = axes[2].lines
    assert list(distances[0].get_ydata()) == [40.0]
    assert list(distances[2].get_ydata()) == [10.0, 10.0]


def test_distances_over_the_steps_of_sampling():
    table = pd.concat([curve("sampling", n, 30, 12.0 - n / 10) for n in (4, 8)])
    first = against_steps(table).axes[0]
    assert list(first.lines[0].get_xdata()) == [4, 8]


def test_without_runs_the_figures_say_so():
    nothing = pd.DataFrame(columns=["system", "measure"])
    assert "No system" in against_time(nothing).texts[0].get_text()
    assert "No model" in against_steps(nothing).texts[0].get_text()
