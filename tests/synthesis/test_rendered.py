"""The rendered brain that a denoiser adds to: an anatomy with a training sample's contrasts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.models import small_model
from workflow_scripts.common.grid import Grid
from workflow_scripts.preprocess.contrasts import TERMS, paint_regions
from workflow_scripts.synthesis import sampling
from workflow_scripts.synthesis.requests import complete
from workflow_scripts.synthesis.sampling import synthesise
from workflow_scripts.synthesis.settings import SamplingSettings

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))
# Of the regions of three training tumours.
MEANS = np.random.default_rng(1).random((3, 3, 2), np.float32)


@pytest.fixture(scope="module")
def tissue():
    """White matter around a core of CSF, grey matter around both."""
    mm = GRID.to_mm(np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), -1))
    distance = np.linalg.norm(mm - [0, -18, 10], axis=-1)
    shells = [(45, 65), (15, 45), (-1, 15)]
    return np.stack([255 * ((distance > a) & (distance <= b)) for a, b in shells]).astype(np.uint8)


@pytest.fixture
def model(tissue):
    built = small_model(GRID, anatomy=tissue)
    contrasts = np.zeros((3, 3, TERMS, 2), np.float32)
    contrasts[:, :, 0] = np.random.default_rng(0).uniform(0.2, 0.9, (3, 3, 2))
    built.generator.bundle.space.keep_contrasts(contrasts, MEANS)
    return built


def numbers(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_contrasts_are_those_of_training_samples_by_the_sample_s_own_numbers(model):
    kept = model.generator.bundle.space.contrasts
    drawn, _ = model.contrasts(numbers(*range(20)))
    assert all((row == kept).flatten(1).all(1).any() for row in drawn)
    assert len(drawn.unique(dim=0)) == 3
    assert torch.equal(model.contrasts(numbers(7))[0][0], drawn[7])


def test_jitter_changes_a_tumour_s_contrast_in_each_modality_and_keeps_its_regions_order(model):
    seeds = range(400)
    contrasts, means = model.contrasts(numbers(*seeds))
    assert model.vary_tumours(contrasts, means, numbers(*seeds)) is means
    varied = replace(model, contrast_jitter=0.4).vary_tumours(contrasts, means, numbers(*seeds))
    brain = contrasts[:, :2, 0].mean(1)[:, None]
    factors = ((varied - brain) / (means - brain)).log()
    # One factor for all regions, another one in each modality.
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), atol=1e-3, rtol=0)
    by_modality = factors[:, 0].numpy()
    assert by_modality.std(0) == pytest.approx([0.4, 0.4], rel=0.15)
    assert by_modality.mean(0) == pytest.approx([0, 0], abs=0.08)
    assert abs(np.corrcoef(by_modality.T)[0, 1]) < 0.2


def test_what_is_rendered_is_the_encoded_brain(model, tissue):
    contrasts, means = model.contrasts(numbers(0, 1))
    healthy = np.zeros((2, *GRID.shape), np.uint8)
    both = np.stack([tissue, tissue[:, :, ::-1]])
    rendered = model.rendered(both, healthy, contrasts, means)
    for latent, maps, contrast in zip(
        rendered, (tissue, tissue[:, :, ::-1]), contrasts, strict=True
    ):
        image = np.einsum("tm,txyz->mxyz", contrast[:, 0].numpy(), maps / 255)
        expected = model.codec.encode(image.astype(np.float32), np.zeros(GRID.shape, np.uint8))
        np.testing.assert_allclose(latent.numpy(), expected, atol=1e-3)


def test_a_patient_has_the_contrasts_that_its_seed_draws(model):
    asked = pd.DataFrame({"volume_ml": [20.0] * 2, "seed": [1, 1], "anatomy": ["phantom"] * 2})
    asked[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]] = 20.0, -20.0, 10.0
    requests = complete(asked, model.generator.scaling, 0)
    values = {
        "sampling_steps": 2, "sigma_max": 10, "sigma_min": 0.1, "stochasticity": 1, "order": 2,
        "guidance": 1, "precision": "fp32", "batch": 2, "attempts": 1, "volume_tolerance": 1.5,
        "centroid_tolerance_mm": 10,
    }  # fmt: skip
    first, second = synthesise(requests, model, SamplingSettings.model_validate(values))
    # Of a batch, processors add up each sample in an order of its own.
    np.testing.assert_allclose(first.image, second.image, atol=1e-4)
    changed = 1 - model.generator.bundle.space.contrasts.numpy()[:3]
    model.generator.bundle.space.keep_contrasts(changed, MEANS)
    other, _ = synthesise(requests, model, SamplingSettings.model_validate(values))
    assert not np.allclose(other.image, first.image, atol=1e-3)


def test_a_layout_is_rendered_with_the_intensities_of_its_regions(model, tissue):
    contrasts, means = model.contrasts(numbers(0))
    label = np.zeros((1, *GRID.shape), np.uint8)
    label[0, 18:22, 10:15, 10:14], label[0, 19:21, 11:14, 11:13] = 2, 3
    rendered = model.rendered(tissue[None], label, contrasts, means)
    brain = np.einsum("tm,txyz->mxyz", contrasts[0, :, 0].numpy(), tissue / 255)
    image = paint_regions(brain.clip(0, 1).astype(np.float32), label[0], means[0].numpy())
    assert np.abs(image - brain)[:, label[0] > 0].mean() > 0.05
    expected = model.codec.encode(image, label[0])
    np.testing.assert_allclose(rendered[0].numpy(), expected, atol=1e-3)


def test_what_a_patient_adds_to_is_rendered_with_its_layout(model, monkeypatch):
    """The layout reaches the denoiser, and what it makes."""
    label = np.zeros((1, *GRID.shape), np.uint8)
    label[0, 18:22, 10:15, 10:14] = 2
    asked = pd.DataFrame({"volume_ml": [20.0], "seed": [1], "anatomy": ["phantom"]})
    asked[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]] = 20.0, -20.0, 10.0
    requests = complete(asked, model.generator.scaling, 0)
    seen = []
    kind = type(model.generator)
    monkeypatch.setattr(kind, "draw_labels", lambda *parts: label)
    sample = kind.sample
    monkeypatch.setattr(
        kind, "sample", lambda self, *parts: seen.append(parts[2]) or sample(self, *parts)
    )
    values = {
        "sampling_steps": 2, "sigma_max": 10, "sigma_min": 0.1, "stochasticity": 1, "order": 2,
        "guidance": 1, "precision": "fp32", "batch": 2, "attempts": 1, "volume_tolerance": 1.5,
        "centroid_tolerance_mm": 10,
    }  # fmt: skip
    synthesise(requests, model, SamplingSettings.model_validate(values))
    tissue = model.anatomies.tissue(requests)
    looks = model.contrasts([sampling.random_generator(int(requests["seed"][0]), 0)])
    assert torch.equal(seen[0], model.rendered(tissue, label, *looks))
