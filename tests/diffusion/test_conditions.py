"""Conditions: scaling from training patients alone, maps in the right place, the learned null."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from workflow_scripts.common.attributes import AXES, CONDITIONS
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import Scaling, draw_maps, latent_points, place_of
from workflow_scripts.diffusion.generator import build_model
from workflow_scripts.diffusion.latents import (
    LatentSpace,
    fit_latent_space,
    fold,
    map_channels,
    unfold,
)
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.prediction import predict
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.diffusion.train import DiffusionTraining, LatentBatches

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))


def attributes(count=6, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.uniform(10, 30, count) for name in CONDITIONS})
    table["sphericity"] = rng.uniform(0.5, 0.9, count)
    return table


def test_conditions_are_standardised_by_the_training_patients():
    table = attributes(50)
    scaling = Scaling.fit(table)
    vectors = scaling.vectors(table)
    assert torch.allclose(vectors.mean(0), torch.zeros(9), atol=1e-5)
    assert torch.allclose(vectors.std(0, correction=0), torch.ones(9), atol=1e-5)
    again = Scaling(**scaling.to_dict())
    assert torch.equal(again.vectors(attributes(3, 1)), scaling.vectors(attributes(3, 1)))


def test_a_constant_condition_is_not_divided_by_nothing():
    table = attributes()
    table["box_x_mm"] = 20.0
    assert torch.isfinite(Scaling.fit(table).vectors(table)).all()


def test_the_ellipsoid_has_the_requested_volume_and_place():
    table = attributes(1)
    table["volume_ml"], table[[f"box_{a}_mm" for a in AXES]] = 60.0, [60.0, 40.0, 50.0]
    table[[f"centroid_{a}_mm" for a in AXES]] = [10.0, -30.0, 20.0]
    points = latent_points(GRID, 1)
    soft = draw_maps(place_of(table), torch.tensor([True]), points)[0, 6]
    inside = soft > 0.5
    assert float(inside.sum()) * GRID.voxel_ml == pytest.approx(60, rel=0.05)
    middle = points[:, inside].mean(1)
    assert torch.allclose(middle, torch.tensor([10.0, -30.0, 20.0]), atol=1.0)


def test_latent_points_are_the_middles_of_what_they_cover():
    points = latent_points(GRID, 4)
    assert points.shape == (3, 8, 8, 24)
    covered = GRID.to_mm(np.array([[1.5, 1.5, 0.0]]))[0]
    assert np.allclose(points[:, 0, 0, 0].numpy(), covered)


def test_the_null_draws_no_tumour():
    place, points = place_of(attributes(2)), latent_points(GRID, 4)
    maps = draw_maps(place, torch.tensor([True, False]), points)
    assert maps[0, 3:].abs().sum() > 0
    assert maps[1, 3:].abs().sum() == 0
    assert torch.equal(maps[0, :3], maps[1, :3])


def denoiser():
    """A small denoiser without MONAI's zero weights, behind which any difference would hide."""
    torch.manual_seed(0)
    net = StackDenoiser(6, map_channels((1, 1, 2)), 9, [8, 16], 1, 4, [False, False])
    for weight in net.unet.parameters():
        if weight.ndim > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return net


def test_the_null_ignores_the_conditions_of_its_sample_alone():
    net = denoiser()
    x, t, maps = torch.randn(2, 6, 8, 8, 12), torch.tensor([500, 500]), torch.zeros(2, 8, 8, 8, 12)
    one, other = torch.randn(2, 9), torch.randn(2, 9)
    present = torch.tensor([True, False])
    first, second = net(x, t, one, present, maps), net(x, t, other, present, maps)
    assert first.shape == x.shape
    assert not torch.allclose(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_folding_is_undone():
    x = torch.randn(2, 3, 4, 5, 12)
    folded = fold(x, (1, 1, 4))
    assert folded.shape == (2, 12, 4, 5, 3)
    assert torch.equal(folded[:, 0:4, :, :, 1], x[:, 0, :, :, 4:8].permute(0, 3, 1, 2))
    assert torch.equal(unfold(folded, (1, 1, 4)), x)
    in_plane = fold(x, (2, 5, 3))
    assert in_plane.shape == (2, 90, 2, 1, 4)
    assert torch.equal(in_plane[0, :30, 1, 0, 2], x[0, 0, 2:4, :, 6:9].flatten())
    assert torch.equal(unfold(in_plane, (2, 5, 3)), x)


def test_maps_of_a_patch_keep_the_tumour_s_edge():
    points, place = latent_points(GRID, 4), place_of(attributes(2))
    space, present = LatentSpace((3, 8, 8, 24), (2, 2, 4)), torch.tensor([True, False])
    space.points.copy_(points)
    maps, whole = space.maps(place, present), draw_maps(place, present, points)
    assert maps.shape == (2, map_channels((2, 2, 4)), 4, 4, 6)
    assert torch.equal(maps[:, 6:], fold(whole[:, 6:], (2, 2, 4)))
    first = whole[:, :6, :2, :2, :4].mean((2, 3, 4))
    torch.testing.assert_close(maps[:, :6, 0, 0, 0], first)


def correlated(count=12):
    """Latents whose slices resemble their neighbours, and that vary in the middle alone."""
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(count, 3, 8, 8, 24)).cumsum(-1)
    latents[:, :, 0] *= 0.01
    return (latents + 5).astype(np.float32)


def settings_with(**changes):
    values = yaml.safe_load((ROOT / "config.yaml").read_text())["diffusion"]
    del values["prior"]
    return DiffusionSettings.model_validate(values | changes)


def space_of(latents, place=(0.0, -18.0, 5.0, 8.0, 8.0, 8.0), **changes):
    settings = settings_with(**{"space": "white", "patch": [1, 1, 2], "modes": 3, **changes})
    places = torch.tensor([place]).repeat(len(latents), 1)
    return fit_latent_space(latents, latent_points(GRID, 4), places, settings)


def test_white_latents_are_white_and_restored():
    latents = correlated()
    space = space_of(latents)
    white = space.standardise(torch.from_numpy(latents))
    assert white.shape == (12, 6, 8, 8, 12)
    flat = white.transpose(0, 1).flatten(1)
    assert torch.allclose(flat @ flat.T / flat.shape[1], torch.eye(6), atol=0.02)
    assert torch.allclose(space.restore(white), torch.from_numpy(latents), atol=1e-3)


def test_centred_latents_are_white_but_for_their_places():
    latents = correlated()
    space = space_of(latents, space="centred", modes=0)
    centred = space.standardise(torch.from_numpy(latents))
    assert torch.allclose(centred.mean(0), torch.zeros(6, 8, 8, 12), atol=1e-4)
    flat = centred.transpose(0, 1).flatten(1)
    assert torch.allclose(flat @ flat.T / flat.shape[1], torch.eye(6), atol=0.02)
    # What varies little at a place goes on varying little.
    assert centred[:, :, 0].std() < 0.05 * centred[:, :, 4].std()
    assert torch.allclose(space.restore(centred), torch.from_numpy(latents), atol=1e-3)


@pytest.mark.parametrize(("kind", "power"), [("white", 1.0), ("centred", 0.5)])
def test_components_weigh_by_their_variance_or_its_root(kind, power):
    space = space_of(correlated(), space=kind, modes=0)
    variance = space.mix.square().sum(0)
    assert variance.max() > 20 * variance.min()
    assert torch.allclose(space.weight, (variance / variance.mean()) ** power, rtol=1e-3)


def test_pure_noise_is_restored_with_slices_that_agree():
    space = space_of(correlated())
    noise = torch.randn(50, 6, 8, 8, 12, generator=torch.Generator().manual_seed(0))
    made = (space.restore(noise) - space.mean) / space.sd
    pairs = (made[..., 0::2] * made[..., 1::2]).mean() / made.square().mean()
    assert pairs > 0.8
    spread = space.restore(noise).std(0)
    assert spread[:, 0].mean() < 0.5 * spread[:, 2:6].mean()


def test_modes_are_orthonormal_and_expect_what_a_gaussian_gives():
    space = space_of(correlated())
    assert torch.allclose(space.modes @ space.modes.T, torch.eye(3), atol=1e-4)
    assert (space.mode_variance > space.rest_variance).all()
    # The posterior mean of x0 behind x = s x0 + e, from the covariance written out.
    rest = torch.eye(space.modes.shape[1]) * space.rest_variance
    lifted = (space.mode_variance - space.rest_variance).view(-1, 1) * space.modes
    covariance = (rest + space.modes.T @ lifted).double()
    signal, sigma = torch.tensor([0.8]).double(), torch.tensor([0.6]).double()
    x = torch.randn(1, 6, 8, 8, 12, generator=torch.Generator().manual_seed(1))
    inner = signal**2 * covariance + sigma**2 * torch.eye(len(covariance))
    wanted = signal * covariance @ torch.linalg.solve(inner, x.flatten().double())
    found = space.expected(x, signal.float(), sigma.float())
    assert torch.allclose(found.flatten().double(), wanted, atol=1e-4)


def noised(space, signal=0.6):
    """White latents, and the same with noise over them: signal · white + sigma · noise."""
    white = space.standardise(torch.from_numpy(correlated()))
    sigma = (1 - signal**2) ** 0.5
    noise = torch.randn(white.shape, generator=torch.Generator().manual_seed(2))
    factors = (torch.full((len(white), 1, 1, 1, 1), value) for value in (signal, sigma))
    return white, signal * white + sigma * noise, *factors


def test_a_centred_space_knows_where_nothing_varies():
    space = space_of(correlated(), space="centred", modes=0)
    white, x, signal, sigma = noised(space)
    assert torch.allclose(space.variance, white.square().mean(0), atol=1e-3)
    found = space.expected(x, signal, sigma)
    # A place where all patients are alike is no noise; elsewhere some of it stays.
    assert found[:, :, 0].abs().max() < 0.01
    wanted = signal * space.variance / (signal**2 * space.variance + sigma**2) * x
    torch.testing.assert_close(found, wanted)
    as_one = (found - white).square().mean(), (signal * x - white).square().mean()
    assert as_one[0] < 0.95 * as_one[1]


def test_a_new_denoiser_gives_the_gaussian_answer():
    space = space_of(correlated(), space="centred", modes=0)
    process = Process("velocity", "cosine", 1000, 0.002, 0.02)
    settings = settings_with(widths=[8, 16], norm_groups=4, patch=[1, 1, 2])
    net = build_model(settings, 3)
    white, _, _, _ = noised(space)
    t = torch.full((len(white),), 400)
    x = process.noised(white, torch.randn(white.shape), t)
    maps = torch.zeros(len(x), map_channels((1, 1, 2)), 8, 8, 12)
    condition = torch.zeros(len(x), 9), torch.ones(len(x), dtype=torch.bool), maps
    found, _ = process.estimate(predict(net, space, process, x, t, condition), x, t)
    wanted = space.expected(x, *process.factors(t, x))
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


def test_more_channels_than_a_hidden_layer_has_get_through_by_their_gains():
    torch.manual_seed(0)
    net = StackDenoiser(24, 0, 9, [4, 4], 1, 2, [False, False], gains=True)
    with torch.no_grad():
        net.unet.out[2].conv.bias[24:] = torch.arange(24.0)
    x = torch.randn(1, 24, 4, 4, 4)
    condition = torch.zeros(1, 9), torch.tensor([True]), x[:, :0]
    found = net(x, torch.tensor([10]), *condition)
    torch.testing.assert_close(found, torch.arange(24.0).view(1, -1, 1, 1, 1) * x)


def test_modes_know_nothing_of_tumours():
    latents = correlated()
    latents[:, :, 3:5, 3:5, 10:13] += 30 * np.sign(np.arange(12) - 5.5)[:, None, None, None, None]
    masked, open_ = (
        space_of(latents, (0.0, -18.0, 0.0, axis, axis, axis), modes=1) for axis in (40.0, 0.4)
    )
    middle = (slice(None), slice(3, 5), slice(3, 5), slice(5, 6))
    share = [s.modes[0].view(6, 8, 8, 12)[middle].square().sum() for s in (masked, open_)]
    assert share[0] < 0.3 * share[1]


def training(drop, loss="l2"):
    process = Process("velocity", "cosine", 1000, 0.002, 0.02)
    space = space_of(correlated())
    settings = settings_with(drop=drop, loss=loss)
    return DiffusionTraining(denoiser(), process, space, settings, seed=0)


def test_the_null_is_trained_by_dropped_samples_only():
    batch = LatentBatches(
        np.zeros((6, 3, 8, 8, 24), np.float16), torch.randn(6, 9), place_of(attributes()), 4, 0
    )(0)
    for drop, learns in ((0.0, False), (0.9999, True)):
        module = training(drop)
        module.losses(batch, 0)["loss"].backward()
        gradient = module.model.unet.class_embedding.null.grad
        assert bool(gradient is not None and gradient.abs().sum() > 0) == learns


def test_whitening_is_exact_in_any_arithmetic():
    space, latents = space_of(correlated()), torch.from_numpy(correlated())
    wanted = space.standardise(latents)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(space.standardise(latents), wanted)
        assert torch.allclose(space.restore(wanted), latents, atol=1e-3)


@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("l2", 2)])
def test_components_count_as_much_as_they_weigh_in_the_latents(loss, power, monkeypatch):
    """The loss of a prediction off by one basis vector is that of the latents it stands for."""
    module = training(0.0, loss)
    module.tumour_share = 0.0
    batch = LatentBatches(correlated(4), torch.randn(4, 9), place_of(attributes(4)), 2, 0)(0)
    monkeypatch.setattr(module.process, "target", lambda x0, noise, t: torch.zeros_like(x0))
    for component in (0, 5):
        off = torch.zeros(2, 6, 8, 8, 12)
        off[:, component] = 1.0
        monkeypatch.setattr("workflow_scripts.diffusion.train.predict", lambda *_, off=off: off)
        found = float(module.losses(batch, 0)["loss"])
        assert found == pytest.approx(float(module.space.weight[component]) ** (power / 2) / 6)
