"""A prior: made from phantoms on the grid, and what training from it starts with."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from workflow_scripts.common.prior import PRIORS
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.synthesis.export_prior import WHOLE
from workflow_scripts.synthesis.folder import check_model_folder
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.requests import complete
from workflow_scripts.synthesis.sampling import synthesise
from workflow_scripts.synthesis.settings import SamplingSettings

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--configfile", str(ROOT / "config" / "tiny.yaml"))
STAGES = ("autoencoder", "diffusion")


@pytest.fixture(scope="module")
def prior(snakemake, tmp_path_factory) -> Path:
    """The model folder of a prior that learned from four phantoms for a few steps."""
    folder = tmp_path_factory.mktemp("prior")
    cohort = "cohort={source: phantom_on_grid, splits: {train_sizes: [4]}}"
    short = ("autoencoder={steps: 6}", "diffusion={steps: 4}", "results=made")
    done = snakemake(folder, *TINY, "--config", cohort, *short)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "made" / "prior"


def tuned(snakemake, folder: Path, prior: Path, *more: str):
    """Train from ``prior`` for a step that changes nothing."""
    still = f"prior: {prior}, steps: 1, lr: 1.0e-12"
    targets = [f"results-tiny/{stage}/n2-s0/model/weights.safetensors" for stage in STAGES]
    config = [f"{stage}={{{still}}}" for stage in STAGES]
    return snakemake(folder, *targets, *TINY, "--config", *config, *more)


def test_it_is_a_model_folder_in_half_precision_that_says_what_made_it(prior):
    check_model_folder(prior)
    for stage in STAGES:
        state = load_file(prior / stage / "weights.safetensors")
        network = {t.dtype for n, t in state.items() if n not in WHOLE}
        assert network == {torch.float16}
        training = json.loads((prior / "training.json").read_text())[stage]
        assert training["inputs"]["files"] > 0
        assert {"params", "packages", "machine", "seconds"} <= set(training)
        assert not {"checkpoints", "tensorboard"} & set(training["params"])
    phantom = json.loads((prior / "phantom.json").read_text())
    assert PhantomSettings.model_validate(phantom).core_share == (0.25, 0.65)
    # One tumour for each phantom.
    assert len(pd.read_csv(prior / "attributes.tsv", sep="\t")) == 4


def test_training_starts_from_it(snakemake, copy_run, tiny_run, prior, tmp_path):
    run = copy_run(tiny_run, tmp_path / "run")
    done = tuned(snakemake, run, prior)
    assert done.returncode == 0, done.stderr[-4000:]
    for stage in STAGES:
        folder = run / "results-tiny" / stage / "n2-s0" / "model"
        found, start = (load_file(f / "weights.safetensors") for f in (folder, prior / stage))
        # Contrasts, intensities and the correction are those of the run's own training patients.
        for name in ("space.contrasts", "space.intensities", "correction.weights"):
            start.pop(name, None)
        for name, tensor in start.items():
            torch.testing.assert_close(found[name], tensor.float(), msg=f"{stage}: {name}")
        configs = [f / "config.json" for f in (prior / stage, folder)]
        known, config = (json.loads(path.read_text()) for path in configs)
        assert config.get("latent_scale") == known.get("latent_scale")
        if stage == "diffusion":
            # Phantoms of a prior, patients of a cohort.
            assert known["scaling"]["patients"] == 0
            assert config["scaling"] == {**known["scaling"], "patients": 1}


def test_a_prior_of_other_patients_is_refused_in_words(snakemake, prior, tmp_path):
    done = tuned(snakemake, tmp_path, prior, "modalities=[flair]", "--dry-run")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "modalities ['flair', 't1ce'], here ['flair']" in done.stderr


@pytest.mark.long
def test_an_arm_learns_from_the_prior_s_phantoms(snakemake, copy_run, tiny_run, prior, tmp_path):
    run = copy_run(tiny_run, tmp_path / "run")
    arm = "results-tiny/segmentation/n2-s0/real+classical+phantoms/scores.csv"
    still = f"prior: {prior}, steps: 1"
    config = [f"{stage}={{{still}}}" for stage in STAGES]
    arms = "segmentation={arms: [real+classical, real+classical+phantoms], steps: 4}"
    done = snakemake(run, arm, *TINY, "--config", *config, arms)
    assert done.returncode == 0, done.stderr[-4000:]
    made = (run / "results-tiny" / "prior_phantoms" / "n2-s0").glob("*/image.npy")
    assert len(list(made)) == 4
    # It needs no diffusion model.
    assert "train_diffusion" not in done.stderr


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("diffusion={prior: /m}", "a denoiser needs the autoencoder on whose latents"),
        ("segmentation={arms: [real+classical+phantoms]}", "needs the phantoms of a prior"),
        ("autoencoder={prior: /nowhere}", "/nowhere/autoencoder/config.json does not exist"),
    ],
)
def test_priors_that_cannot_be_are_named(snakemake, tmp_path, config, words):
    done = snakemake(tmp_path, "--dry-run", *TINY, "--config", config)
    assert done.returncode != 0
    assert words in done.stderr


def test_the_embedded_priors_weights_fit_a_repository():
    weights = [file for folder in PRIORS.values() for file in folder.rglob("*.safetensors")]
    assert len(weights) == 2 * len(PRIORS)
    assert sum(file.stat().st_size for file in weights) < 24e6


@pytest.mark.parametrize("folder", PRIORS.values(), ids=PRIORS)
def test_the_embedded_prior_is_what_its_set_up_makes(folder, default_values):
    check_model_folder(folder)
    set_up = ROOT / "config" / f"{folder.name.replace('-', '_')}.yaml"
    given = yaml.safe_load(set_up.read_text())
    phantom = {**default_values["cohort"]["phantom"], **given["cohort"]["phantom"]}
    assert json.loads((folder / "phantom.json").read_text()) == {
        name: phantom[name] for name in PhantomSettings.model_fields
    }
    record = json.loads((folder / "training.json").read_text())
    settings = {stage: {**default_values[stage], **given[stage]} for stage in STAGES}
    for stage, here in settings.items():
        used = record[stage]["params"]["settings"]
        # A denoiser that was continued says so: it took fewer steps, and averaged fewer.
        other = {"steps", "ema_decay"} if "started_from" in record[stage] else set()
        assert {name for name in used if used[name] != here[name]} == other, stage
        assert record[stage]["seconds"] > 60


@pytest.mark.parametrize("folder", PRIORS.values(), ids=PRIORS)
def test_the_embedded_prior_makes_the_tumour_that_is_asked_for(folder):
    model = SynthesisModel.load(folder)
    asked = pd.DataFrame({"volume_ml": [8.0, 60.0]})
    asked[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]] = [[30, -40, 25], [-32, -10, 20]]
    settings = json.loads((folder / "sampling.json").read_text())
    sampling = SamplingSettings.model_validate({**settings, "attempts": 1, "precision": "fp32"})
    made = synthesise(complete(asked, model.generator.scaling, 0), model, sampling)
    for sample in made:
        # Holes in labels are another matter: a draw in four has some.
        assert max(sample.misfits[name] for name in ("volume", "place", "torn")) <= 1
    brains_ml = np.array([sample.brain.sum() for sample in made]) * model.codec.grid.voxel_ml
    assert np.all((brains_ml > 1400) & (brains_ml < 2400))
    for sample in made:
        flair, inside = sample.image[0], sample.label > 0
        assert flair[inside].mean() > flair[sample.brain & ~inside].mean()
