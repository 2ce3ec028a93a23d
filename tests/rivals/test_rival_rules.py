"""The stage's scripts one after the other on tiny patients, and the jobs that an arm asks for."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.fakes import Named
from workflow_scripts.common.files import UserError
from workflow_scripts.common.patients import Patient, patient_folders
from workflow_scripts.configuration import check
from workflow_scripts.rivals import sample_rival, train_rival
from workflow_scripts.rivals.catalogue import RIVALS, load_rival
from workflow_scripts.rivals.sample_rival import draw_patient

ROOT = Path(__file__).resolve().parents[2]
GRID = {"shape": [32, 32, 24], "spacing_mm": [5.0, 5.0, 6.0]}
MODALITIES, LABELS = ["flair", "t1ce"], "subregions"


def job(name, folder, given, made, **params):
    """What Snakemake hands to a script of the stage."""
    shared = {"rival": name, "modalities": MODALITIES, "labels": LABELS, "grid": GRID, "seed": 0}
    return SimpleNamespace(
        rule="a_rule_of_the_stage",
        wildcards=Named(split="n2-s0", rival=name),
        threads=1,
        input=Named(**given),
        output=Named(**{key: str(folder / file) for key, file in made.items()}),
        resources=Named(checkpoint_seconds=300),
        params=Named(**shared, code="0", **params),
        log=[str(folder / "log")],
    )


def train(name, folder, patients, settings, warp):
    images = [str(patient / "image.npy") for patient in patients]
    given = {"images": images[:2], "validation": images[2:3]}
    made = {"weights": "model/weights.safetensors", "history": "training.tsv"}
    params = {"settings": settings, "warp": warp, "tensorboard": str(folder / "tensorboard")}
    snakemake = job(name, folder, given, made, checkpoints=str(folder / "kept"), **params)
    train_rival.main(snakemake)
    return folder / "model"


def sample(name, folder, model, patients=3):
    given = {"weights": str(model / "weights.safetensors")}
    snakemake = job(name, folder, given, {"patients": "patients"}, patients=patients, attempts=2)
    sample_rival.main(snakemake)
    return patient_folders(folder / "patients")


@pytest.fixture
def warp(default_values):
    return default_values["autoencoder"]["warp"]


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_is_trained_and_sampled_to_the_same_bytes(
    name, tmp_path, whole_patients, values, warp, monkeypatch
):
    settings = values(name)
    model, again = (
        train(name, tmp_path / run, whole_patients, settings, warp) for run in ("one", "two")
    )
    weights = "weights.safetensors"
    assert (model / weights).read_bytes() == (again / weights).read_bytes()
    config = json.loads((model / "config.json").read_text())
    assert config["rival"] == name and config["grid"] == GRID
    history = pd.read_csv(tmp_path / "one" / "training.tsv", sep="\t")
    assert history["step"].tolist() == list(range(1, 7)) and history["loss"].notna().all()
    checked = history["validation_loss"].notna().sum() if name == "ldm3d" else 0
    assert checked == (2 if name == "ldm3d" else 0)

    # Six steps make no tumour: a threshold stands in for what was learned.
    def a_tumour(volume, labels):
        shape = volume.shape[1:]
        label = (volume[-1] > volume[-1].median()).numpy().astype(np.uint8)
        return volume[:2].numpy().clip(0, 1), label, np.ones(shape, bool)

    monkeypatch.setattr(sample_rival, "from_volume", a_tumour)
    made, same = (sample(name, tmp_path / run, model) for run in ("one", "two"))
    assert [folder.name for folder in made] == [f"{name}-{k:04d}" for k in (1, 2, 3)]
    images = []
    for one, two in zip(made, same, strict=True):
        patient = Patient(one)
        assert patient.image().shape == (2, *GRID["shape"])
        assert patient.label().shape == tuple(GRID["shape"])
        assert (one / "flair.nii.gz").is_file() and (one / "label.nii.gz").is_file()
        images.append((one / "image.npy").read_bytes())
        assert images[-1] == (two / "image.npy").read_bytes()
    assert len(set(images)) == 3


class Barren:
    """A rival whose first draws of each patient have no tumour."""

    def __init__(self, barren):
        self.barren, self.draws = barren, []

    def sample(self, random):
        self.draws.append(float(torch.rand(1, generator=random)))
        volume = torch.full((3, 16, 16, 16), 0.5)
        volume[2] = len(self.draws) > self.barren
        return volume


def test_a_sample_without_a_tumour_is_drawn_again():
    model = Barren(barren=2)
    _, label, _ = draw_patient(model, "whole_tumour", 0, 1, attempts=3)
    assert (label == 2).all() and len(set(model.draws)) == 3
    assert draw_patient(Barren(barren=3), "whole_tumour", 0, 1, attempts=3) is None


def test_patients_without_a_tumour_are_left_out_with_a_warning(tmp_path, monkeypatch, caplog):
    model = Barren(barren=3)
    monkeypatch.setattr(sample_rival, "load_rival", lambda folder: model)
    monkeypatch.setattr(f"{__name__}.LABELS", "whole_tumour")
    made = sample("gan3d", tmp_path, tmp_path)
    # Two draws for the first, none with a tumour; one for each of the others, after one without.
    assert [folder.name for folder in made] == ["gan3d-0002", "gan3d-0003"]
    assert "gan3d-0001: no tumour in 2 draws, omitted" in caplog.text


def test_a_model_of_other_settings_is_refused(tmp_path, whole_patients, values, warp):
    folder = train("gan3d", tmp_path, whole_patients, values("gan3d", steps=1), warp)
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["settings"].pop("noise")
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="settings differ in noise"):
        load_rival(other)


@pytest.mark.parametrize("name", RIVALS)
def test_an_arm_asks_for_its_rival_and_for_no_other_generator(name, snakemake, tmp_path):
    arm = f"real+classical+{name}"
    target = f"results-tiny/segmentation/n2-s0/{arm}/scores.csv"
    options = ("--configfile", str(ROOT / "config" / "tiny.yaml"))
    arms = f"segmentation={{arms: [real+classical, {arm}]}}"
    done = snakemake(tmp_path, "--dry-run", target, *options, "--config", arms)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    lines = [line.split() for line in said.splitlines()]
    for rule in ("train_rival", "sample_rival", "train_segmentation"):
        assert [rule, "1"] in lines, rule
    assert f"results-tiny/rivals/n2-s0/{name}/patients" in said
    for rule in ("train_autoencoder", "train_diffusion", "synthesise_patients"):
        assert rule not in said


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("gan3d", {"widths": [8] * 6}, "48 voxels are no multiple of 32"),
        ("ldm3d", {"denoiser_widths": [8] * 4}, "48 voxels are no multiple of 32"),
        ("gan3d", {"norm_groups": 7}, "norm_groups 7 must divide all of widths"),
        ("ldm3d", {"autoencoder_steps": 9999}, "autoencoder_steps must be below steps"),
    ],
)
def test_settings_that_cannot_be_are_named(name, change, words, default_values):
    rivals = {**default_values["rivals"], name: {**default_values["rivals"][name], **change}}
    arms = ["real+classical", f"real+classical+{name}"]
    segmentation = {**default_values["segmentation"], "arms": arms}
    with pytest.raises(UserError, match=words):
        check({**default_values, "rivals": rivals, "segmentation": segmentation})
    if "multiple" in words:  # of no consequence where no arm has it
        check({**default_values, "rivals": rivals})
