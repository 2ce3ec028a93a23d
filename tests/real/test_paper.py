"""The paper's networks at the paper's geometry: one optimiser step of each."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from workflow_scripts.autoencoder.codec import build_model as build_autoencoder
from workflow_scripts.autoencoder.settings import AutoencoderSection
from workflow_scripts.autoencoder.train import AutoencoderTraining
from workflow_scripts.common.attributes import CONDITIONS
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import Scaling, ellipsoid_of, latent_points
from workflow_scripts.diffusion.generator import build_model as build_denoiser
from workflow_scripts.diffusion.latents import LatentSpace
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.diffusion.train import Denoisers, DiffusionTraining

ROOT = Path(__file__).resolve().parents[2]


def paper(section: str) -> dict:
    base = yaml.safe_load((ROOT / "config.yaml").read_text())[section]
    return base | yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())[section]


def grid() -> Grid:
    return Grid.from_settings(yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())["grid"])


def one_step(training, batch) -> None:
    """A forward and backward pass and a step that changes the weights."""
    optimiser = training.configure_optimizers()["optimizer"]
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    loss = training.losses(batch, 0)["loss"]
    assert torch.isfinite(loss)
    loss.backward()
    optimiser.step()
    after = training.model.state_dict()
    assert any(not torch.equal(value, after[name]) for name, value in before.items())


def test_autoencoder_step():
    settings = AutoencoderSection.model_validate(paper("autoencoder"))
    assert settings.down == 8
    model = build_autoencoder(settings, ["flair"], "whole_tumour")
    training = AutoencoderTraining(model, settings, seed=0)
    x, y, _ = grid().shape
    # The one slice that a test has time for; training takes `autoencoder.batch`.
    batch = torch.rand(1, 1, x, y), torch.randint(0, 2, (1, x, y)), torch.tensor([0.5])
    one_step(training, batch)
    mean, _ = model.encode(*batch)
    assert mean.shape == (1, 4, 24, 24)


@pytest.mark.parametrize("slices", [8, pytest.param(96, marks=pytest.mark.long)])
def test_denoiser_step(slices):
    """Of the volume's 96 slices, or of the first few: the network is the same."""
    values = {k: v for k, v in paper("diffusion").items() if k != "prior"}
    settings = DiffusionSettings.model_validate(values)
    assert settings.timesteps == 1000
    assert settings.batch == 2
    assert len(CONDITIONS) == 9
    table = pd.DataFrame({name: [20.0] for name in CONDITIONS})
    table["sphericity"] = 0.5
    scaling = Scaling.fit(table)
    latents = np.random.default_rng(0).normal(size=(1, 4, 24, 24, slices)).astype(np.float32)
    assert settings.space == "plain"
    space = LatentSpace(latents.shape[1:], settings.patch)
    space.points.copy_(latent_points(grid(), 8)[..., :slices])
    assert torch.equal(space.standardise(torch.from_numpy(latents)), torch.from_numpy(latents))
    network = build_denoiser(settings, space, grid())
    training = DiffusionTraining(
        Denoisers(network), Process(settings), space, settings, grid(), seed=0
    )
    ellipsoids, nothing = ellipsoid_of(table), torch.zeros(1, 0)
    batch = torch.from_numpy(latents), scaling.vectors(table), ellipsoids, nothing, nothing, nothing
    one_step(training, batch)
