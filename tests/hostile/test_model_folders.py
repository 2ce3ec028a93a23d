"""A model folder that is damaged, or put together from two, makes no patients."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from workflow_scripts.command import main
from workflow_scripts.common.files import UserError, read_json, write_json
from workflow_scripts.common.nifti import load_volume, save_nifti
from workflow_scripts.common.prior import EMBEDDED
from workflow_scripts.configuration import read_config
from workflow_scripts.synthesis.folder import FILES, check_model_folder, write_checksums
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.settings import read_sampling


@pytest.fixture
def model(tmp_path):
    """A model folder of one's own."""
    for name in FILES:
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(EMBEDDED / name, tmp_path / "model" / name)
    return tmp_path / "model"


def flip_bits(model, name):
    content = bytearray((model / name).read_bytes())
    middle = len(content) // 2
    for k in range(middle, min(middle + 4096, len(content))):
        content[k] ^= 0xFF
    (model / name).write_bytes(content)


WEIGHTS = [f"{stage}/weights.safetensors" for stage in ("autoencoder", "diffusion")]
CONFIGS = [f"{stage}/config.json" for stage in ("autoencoder", "diffusion")]


@pytest.mark.parametrize("name", [*WEIGHTS, *CONFIGS, "brain.nii.gz", "attributes.tsv"])
def test_a_damaged_file_is_named(model, name):
    flip_bits(model, name)
    for command in (["info", str(model)], ["synthesize", "--model", str(model), "--out", "x",
                     "--volume-ml", "30", "--centroid-mm", "-20,10,30"]):  # fmt: skip
        found = CliRunner().invoke(main, command)
        assert found.exit_code == 1
        assert f"{name}: is not the file that checksums.json names" in found.output
        assert "Traceback" not in found.output


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    with pytest.raises(UserError, match=f"is no model folder, it lacks .*{name}"):
        check_model_folder(model)


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", "1"])
def test_checksums_that_are_none_are_named(model, content):
    (model / "checksums.json").write_text(content)
    with pytest.raises(UserError, match=r"checksums\.json"):
        check_model_folder(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampling_steps": "many"}, "sampling_steps"),
        ({"sampling_steps": True}, "sampling_steps.*no value here"),
        ({"sigma_min": 200}, "sigma_min must be below sigma_max"),
        ({"temperature": 1}, "temperature"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_sampling_values_that_are_none_are_named(model, change, words):
    values = read_json(model / "sampling.json") | change
    write_json(values, model / "sampling.json")
    check_model_folder(model)  # a user may change them
    with pytest.raises(UserError, match=rf"sampling\.json: .*{words}"):
        read_sampling(model)


def changed_config(stage, **values):
    def change(model):
        config = read_json(model / stage / "config.json")
        write_json(config | values, model / stage / "config.json")

    return change


def other_grid(model):
    brain, affine = load_volume(model / "brain.nii.gz")
    save_nifti(brain[:-2], affine, model / "brain.nii.gz", np.uint8)


def moved_grid(model):
    brain, affine = load_volume(model / "brain.nii.gz")
    affine[0, 3] += 7
    save_nifti(brain, affine, model / "brain.nii.gz", np.uint8)


def not_a_number(model):
    file = model / WEIGHTS[1]
    weights = load_file(file)
    weights["denoiser.first.weight"][0] = float("nan")
    save_file(weights, file)


GRID = {"shape": [64, 64, 48], "spacing_mm": [2.0, 2.0, 2.0]}
PARTS = {
    "denoiser of another grid": (changed_config("diffusion", grid=GRID), "grid is .* here and"),
    "autoencoder of another grid": (changed_config("autoencoder", grid=GRID), "grid is .* here"),
    "denoiser of other modalities": (
        changed_config("diffusion", modalities=["t1", "t2"]), "modalities is .* here and"
    ),
    "denoiser of other latents": (
        changed_config("diffusion", latent_shape=[3, 32, 32, 48]), "latent_shape is .* here and"
    ),
    "no modalities": (changed_config("diffusion", modalities=[]), "config.json: modalities: "),
    "a modality that is none": (changed_config("autoencoder", modalities=["ct"]), "modalities.0: "),
    "labels that are none": (changed_config("autoencoder", labels=None), "config.json: labels: "),
    "no grid": (changed_config("autoencoder", grid=None), "config.json: grid: "),
    "a grid in words": (
        changed_config("autoencoder", grid={"shape": "x", "spacing_mm": [1, 1, 1]}), "grid.shape: "
    ),
    "latents without scale": (changed_config("autoencoder", latent_scale=0), "latent_scale: "),
    "latents of no number": (
        changed_config("autoencoder", latent_scale=float("nan")), "latent_scale: .*finite"
    ),
    "no scaling": (changed_config("diffusion", scaling={}), "scaling.mean: Field required"),
    "scaling of no number": (
        changed_config("diffusion", scaling={"mean": [float("nan")] * 9, "sd": [1] * 9,
                       "box_ratio": [1] * 3, "patients": 0}), "scaling.mean.0: .*finite"
    ),
    "scaling by nothing": (
        changed_config("diffusion", scaling={"mean": [0] * 9, "sd": [0] * 9,
                       "box_ratio": [1] * 3, "patients": 0}), "scaling.sd.0: .*greater than 0"
    ),
    "regions in words": (changed_config("diffusion", regions="some"), "regions: "),
    "no settings": (changed_config("diffusion", settings={}), "another version"),
    "quantiles in words": (
        changed_config("diffusion", tissue_quantiles=["a", "b", "c"]), "tissue_quantiles"
    ),
    "a key of another version": (changed_config("autoencoder", colour=1), "colour: Extra inputs"),
    "brain of another shape": (other_grid, "brain.nii.gz: is not on the model's grid"),
    "brain elsewhere": (moved_grid, "brain.nii.gz: is not on the model's grid"),
    "weights that are no numbers": (not_a_number, "values that are not finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_parts_of_two_models_are_refused(model, case):
    change, words = PARTS[case]
    change(model)
    write_checksums(model)
    with pytest.raises(UserError, match=words):
        SynthesisModel.load(model)


@pytest.mark.parametrize("values", [[], 1, "x", None])
def test_a_configuration_that_is_none_is_named(model, values):
    write_json(values, model / "autoencoder" / "config.json")
    write_checksums(model)
    with pytest.raises(UserError, match=r"autoencoder/config\.json: it: "):
        SynthesisModel.load(model)
    answer = CliRunner().invoke(main, ["info", str(model)])
    assert answer.exit_code == 1
    assert "config.json: it: " in answer.output


@pytest.mark.parametrize("name", [*WEIGHTS, "attributes.tsv"])
def test_a_folder_of_other_files_has_nothing_to_say(model, name):
    (model / name).write_bytes(b"patient_id\n1\n")
    write_checksums(model)
    answer = CliRunner().invoke(main, ["info", str(model)])
    assert answer.exit_code == 1
    assert f"{name}: " in answer.output
    assert isinstance(answer.exception, SystemExit)


def test_a_prior_that_is_damaged_is_named(model, monkeypatch):
    monkeypatch.chdir(EMBEDDED.parent)
    changed_config("diffusion", scaling=None)(model)
    (model / "checksums.json").unlink()  # as of a training that has not ended
    stages = {stage: {"prior": str(model)} for stage in ("autoencoder", "diffusion")}
    with pytest.raises(UserError, match=r"diffusion\.prior .*config\.json: scaling: "):
        read_config("config.yaml", changes=stages)


def test_the_embedded_folder_is_whole():
    check_model_folder(EMBEDDED)
    assert len(json.loads((EMBEDDED / "checksums.json").read_text())) == len(FILES) - 2
