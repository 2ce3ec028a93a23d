"""The space of the denoiser, the denoiser, and its training."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.models import random_attributes
from workflow_scripts.common.files import UserError
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import (
    VECTOR,
    Scaling,
    draw_maps,
    ellipsoid_of,
    latent_points,
)
from workflow_scripts.diffusion.generator import Bundle, Generator, build_model
from workflow_scripts.diffusion.latents import (
    LatentSpace,
    fit_latent_space,
    fold,
    map_channels,
    unfold,
)
from workflow_scripts.diffusion.process import Process, Sampler
from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.diffusion.train import (
    Denoisers,
    DiffusionTraining,
    LatentBatches,
    coarse_error,
)
from workflow_scripts.preprocess.contrasts import TERMS

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))
SHAPE = (3, 8, 8, 24)
MODALITIES = 2


def settings_with(**changes):
    values = yaml.safe_load((ROOT / "config.yaml").read_text())["diffusion"]
    del values["prior"]
    small = {"widths": [8, 16], "blocks": [1, 1], "attention": [False, False], "norm_groups": 4}
    small |= {"layout": None, "correction": 0}
    return DiffusionSettings.model_validate(values | small | {"precision": "fp32"} | changes)


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


def latents(count=12):
    """Latents around a mean of 5, the second channel ten times as various."""
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 10.0, 1.0]).reshape(3, 1, 1, 1)
    return (rng.normal(size=(count, *SHAPE)) * scale + 5).astype(np.float32)


def space_of(values, **changes):
    return fit_latent_space(values, None, GRID, MODALITIES, settings_with(**changes))


def test_centred_latents_have_no_mean_and_unit_variance_and_are_restored():
    values = torch.from_numpy(latents())
    space = space_of(latents())
    centred = space.standardise(values)
    assert centred.shape[1:] == space.folded_shape == (6, 8, 8, 12)
    assert centred.mean(0).abs().max() < 1e-4
    assert centred.std((0, 2, 3, 4)).tolist() == pytest.approx([1.0] * 6, rel=0.06)
    torch.testing.assert_close(space.restore(centred), values, atol=1e-4, rtol=1e-4)


def test_a_plain_space_changes_nothing_but_folding():
    values = torch.from_numpy(latents(2))
    space = space_of(latents(2), space="plain")
    assert torch.equal(space.standardise(values), fold(values, (1, 1, 2)))


def test_one_patient_has_no_spread():
    with pytest.raises(UserError, match="set autoencoder.copies"):
        space_of(latents(1))


def test_maps_of_a_patch_keep_the_tumour_s_edge():
    points, ellipsoids = latent_points(GRID, 4), ellipsoid_of(random_attributes(2))
    settings = settings_with(patch=[2, 2, 4], anatomy="none")
    space, present = LatentSpace(SHAPE, (2, 2, 4)), torch.tensor([True, False])
    space.points.copy_(points)
    maps = space.beside(ellipsoids, present, *torch.zeros(2, 2, 0), settings)
    whole = draw_maps(ellipsoids, present, points)
    assert maps.shape == (2, map_channels(settings, 4, SHAPE[0]), 4, 4, 6)
    assert torch.equal(maps[:, 6:], fold(whole[:, 6:], (2, 2, 4)))
    first = whole[:, :6, :2, :2, :4].mean((2, 3, 4))
    torch.testing.assert_close(maps[:, :6, 0, 0, 0], first)


def test_tissue_maps_stand_beside_the_latents_of_the_same_place():
    settings = settings_with(maps=False)
    space = space_of(latents())
    tissue = torch.randint(0, 256, (1, 3, *GRID.shape), dtype=torch.uint8)
    rendered = torch.randn(1, *SHAPE)
    maps = space.beside(torch.zeros(1, 6), torch.tensor([True]), tissue, rendered, settings)
    assert maps.shape == (1, map_channels(settings, 4, SHAPE[0]), 8, 8, 12)
    here = tissue[0, :, 8:12, 20:24, 6:8].float() / 255
    there = maps[0, :, 2, 5, 3].split([3 * 32, 2 * SHAPE[0]])
    torch.testing.assert_close(there[0].view(3, 4, 4, 2), here)
    torch.testing.assert_close(there[1].view(SHAPE[0], 2), rendered[0, :, 2, 5, 6:8])


def test_a_denoiser_that_is_told_nothing_has_no_maps():
    settings = settings_with(maps=False, anatomy="none")
    maps = space_of(latents()).beside(
        torch.zeros(1, 6), torch.tensor([True]), *torch.zeros(2, 1, 0), settings
    )
    assert maps.shape == (1, 0, 8, 8, 12)
    assert map_channels(settings, 4, SHAPE[0]) == 0


def denoiser(settings, space):
    """A small denoiser without layers of zeros, behind which any difference would hide."""
    torch.manual_seed(0)
    net = build_model(settings, space, GRID)
    for weight in net.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return net


def build(settings):
    return denoiser(settings, space_of(latents()))


def tissue_of(count, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, *GRID.shape), dtype=torch.uint8, generator=random)


def rendered_of(count, seed=0):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("attention", [False, True])
def test_the_null_ignores_the_conditions_of_its_sample_alone(attention):
    settings = settings_with(attention=[False, attention])
    space = space_of(latents())
    net = denoiser(settings, space)
    x, level = torch.randn(2, *space.folded_shape), torch.tensor([0.1, 0.1])
    maps = torch.zeros(2, map_channels(settings, 4, SHAPE[0]), *space.folded_shape[1:])
    present = torch.tensor([True, False])
    first, second = (net(x, level, torch.randn(2, VECTOR), present, maps) for _ in range(2))
    assert first.shape == x.shape
    assert not torch.allclose(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_positions_below_the_first_resolution_have_vectors_of_their_own():
    x, level = torch.ones(1, *(6, 8, 8, 12)), torch.tensor([0.1])
    condition = torch.zeros(1, VECTOR), torch.tensor([True]), x[:, :0]
    without = settings_with(maps=False, anatomy="none", positions=False)
    assert not any("position" in name for name, _ in build(without).named_parameters())
    net = build(settings_with(maps=False, anatomy="none"))
    vectors = {name: p for name, p in net.named_parameters() if name.endswith("position")}
    assert {tuple(vector.shape) for vector in vectors.values()} == {(1, 16, 4, 4, 6)}
    before = net(x, level, *condition)
    with torch.no_grad():
        next(iter(vectors.values()))[..., 0, 0, 0] += 3
    changed = (net(x, level, *condition) - before).abs().sum(1)[0]
    assert changed[:4, :4, :4].mean() > 2 * changed[4:, 4:, 8:].mean()


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_a_new_denoiser_has_the_loss_of_predicting_nothing(loss):
    settings = settings_with(loss=loss, tumour_share=0, coarse_share=0)
    space = space_of(latents())
    net = build_model(settings, space, GRID)
    training = training_of(net, space, settings)
    found = float(training.losses(batch_of(latents()), 0)["loss"])
    # Of targets with unit variance.
    assert found == pytest.approx({"l2": 1.0, "l1": (2 / np.pi) ** 0.5}[loss], rel=0.1)


def training_of(net, space, settings):
    return DiffusionTraining(Denoisers(net), Process(settings), space, settings, GRID, seed=0)


def batch_of(values, count=4):
    table = random_attributes(len(values))
    conditions = Scaling.fit(table).vectors(table)
    anatomy = tissue_of(len(values)).numpy(), np.zeros_like(values)
    return LatentBatches(values, conditions, ellipsoid_of(table), anatomy, count, 0)(0)


def test_the_null_is_trained_by_dropped_samples_only():
    for drop, learns in ((0.0, False), (0.9999, True)):
        settings, space = settings_with(drop=drop), space_of(latents())
        net = denoiser(settings, space)
        training = training_of(net, space, settings)
        training.losses(batch_of(latents()), 0)["loss"].backward()
        gradient = net.null.grad
        assert bool(gradient is not None and gradient.abs().sum() > 0) == learns


def test_the_tumour_has_its_share_of_the_loss_whatever_its_size(monkeypatch):
    """An error in the tumour alone weighs as much for a small tumour as for a large one."""
    found = {}
    for share in (0.0, 0.5):
        for axis in (20.0, 60.0):
            settings = settings_with(tumour_share=share, coarse_share=0)
            space = space_of(latents())
            net = denoiser(settings, space)
            training = training_of(net, space, settings)
            centre = space.points[:, 4, 4, 12].tolist()
            ellipsoids = torch.tensor([[*centre, axis, axis, axis]])
            inside = (space.tumour(ellipsoids) > 0.5).float()[:, None]
            values, _, _, *anatomy = batch_of(latents(), 1)
            monkeypatch.setattr(
                training.process,
                "output",
                lambda network, x, sigma, i=inside: i * torch.ones_like(x),
            )
            nothing = type("Nothing", (), {"target": lambda self, x0, x: torch.zeros_like(x0)})
            monkeypatch.setattr(
                training.process, "preconditioning", lambda sigma, like, n=nothing: n()
            )
            batch = values, torch.zeros(1, VECTOR), ellipsoids, *anatomy
            found[share, axis] = float(training.losses(batch, 0)["loss"])
    assert found[0.0, 60.0] > 10 * found[0.0, 20.0] > 0
    assert found[0.5, 60.0] < 3 * found[0.5, 20.0]


def test_smooth_errors_count_more_and_white_noise_as_much_as_latent_by_latent():
    patch, down = (1, 1, 2), 2
    noise = torch.randn(2, 6, 16, 16, 24)
    fine, coarse = noise.square().mean(), coarse_error(noise, patch, down, power=2)
    assert coarse.item() == pytest.approx(fine.item(), rel=0.1)
    # A constant error of 1: cubes of 16 and 128 latents, squares of 16 and 64.
    ones = torch.ones_like(noise)
    assert coarse_error(ones, patch, down, power=2).item() == pytest.approx(
        (16 + 128 + 16 + 64) / 4
    )
    assert coarse_error(ones, patch, down, power=1).item() == pytest.approx(
        (4 + 128**0.5 + 4 + 8) / 4
    )
    # Of slices that are brighter and darker by turns, cubes see nothing.
    stripes = fold(unfold(ones, patch) * torch.tensor([1.0, -1.0]).repeat(24), patch)
    assert coarse_error(stripes, patch, down, power=2).item() == pytest.approx((16 + 64) / 4)


def test_a_sample_does_not_depend_on_its_company_and_follows_its_anatomy():
    settings, space = settings_with(), space_of(latents())
    bundle = Bundle(denoiser(settings, space), space).eval()
    table = random_attributes(3)
    generator = Generator(bundle, settings, Scaling.fit(table), GRID, True)
    sampler, tissue, rendered = Sampler(3, 10, 0.1), tissue_of(3), rendered_of(3)

    def random(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    together = generator.sample(table, tissue, rendered, random(1, 2, 3), sampler, "fp32")
    assert together.shape == (3, *SHAPE)
    alone = generator.sample(table[2:], tissue[2:], rendered[2:], random(3), sampler, "fp32")
    torch.testing.assert_close(alone[0], together[2], atol=1e-4, rtol=1e-4)
    elsewhere = generator.sample(
        table[2:], tissue_of(1, 9), rendered[2:], random(3), sampler, "fp32"
    )
    assert not torch.allclose(elsewhere[0], together[2], atol=1e-2)
    brighter = generator.sample(table[2:], tissue[2:], rendered[2:] + 1, random(3), sampler, "fp32")
    assert not torch.allclose(brighter[0], together[2], atol=1e-2)


def test_what_is_sampled_is_what_the_rendered_brain_leaves():
    """A denoiser that has learned nothing takes it for Gaussian, as the training latents' was."""
    values, rendered = latents(), rendered_of(12).numpy()
    settings = settings_with()
    space = fit_latent_space(values, rendered, GRID, MODALITIES, settings)
    torch.testing.assert_close(space.mean, torch.from_numpy((values - rendered).mean(0)))
    table, one = random_attributes(1), 100 * rendered_of(1, 5)
    bundle = Bundle(build_model(settings, space, GRID), space).eval()
    generator, random = (
        Generator(bundle, settings, Scaling.fit(table), GRID, True),
        [torch.Generator()],
    )
    found = generator.sample(table, tissue_of(1), one, random, Sampler(16, 60, 1e-3), "fp32")
    left = space.standardise(found - one)
    assert left.mean().abs() < 0.1
    assert left.std().item() == pytest.approx(1, abs=0.2)


def test_contrasts_of_training_samples_are_kept():
    contrasts = np.random.default_rng(0).normal(size=(3, 3, TERMS, MODALITIES)).astype(np.float32)
    space = space_of(latents())
    means = np.random.default_rng(1).random((3, 3, MODALITIES), np.float32)
    space.keep_contrasts(contrasts, means)
    kept = {row.tobytes() for row in space.contrasts.numpy()}
    assert kept == {row.tobytes() for row in contrasts}
    first = (space.contrasts == torch.from_numpy(contrasts[0])).flatten(1).all(1)
    assert np.array_equal(space.intensities[first][0].numpy(), means[0])
