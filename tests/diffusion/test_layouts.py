"""Layouts of tumours: their frame, the labels they give, and their denoiser."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from tests.diffusion.test_denoiser import GRID, SHAPE, latents, settings_with, tissue_of
from tests.models import random_attributes
from workflow_scripts.common.attributes import sphericity, tumour_attributes
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import from_nested, nested_masks
from workflow_scripts.common.masks import dice
from workflow_scripts.common.stored import pack_mask
from workflow_scripts.diffusion.conditions import Scaling, ellipsoid_of
from workflow_scripts.diffusion.generator import Generator, build_bundle
from workflow_scripts.diffusion.latents import fit_latent_space
from workflow_scripts.diffusion.layouts import (
    LAYOUT_SHAPE,
    frame_points,
    in_frame,
    label_of,
    scaled,
    soft_masks,
    unscaled,
)
from workflow_scripts.diffusion.outlines import with_sphericity
from workflow_scripts.diffusion.process import Process, Sampler
from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.diffusion.train import Denoisers, DiffusionTraining, LatentBatches

FINE = Grid((64, 64, 48), (3.0, 3.0, 3.0))
LAYOUT = {
    "widths": [8, 16], "blocks": [1, 1], "norm_groups": 4, "noise_mean": 0.7, "noise_sd": 1.5,
}  # fmt: skip


def millimetres(grid=FINE):
    return grid.to_mm(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))


def glioma(centre, axes):
    """Canonical label of an ellipsoid with a core that lies off its centre, dead inside."""
    offset = (millimetres() - centre) / axes
    distance = np.linalg.norm(offset, axis=-1)
    core = np.linalg.norm(offset - [0.2, 0.1, 0], axis=-1)
    masks = np.stack([distance < 1, (core < 0.6) & (distance < 1), core < 0.35])
    return from_nested(masks)


def request_for(label, grid=FINE):
    return pd.DataFrame([tumour_attributes(label, grid.affine)])


def layout_of(label, request, grid=FINE):
    masks = torch.from_numpy(nested_masks(label)[None])
    return soft_masks(masks, frame_points(ellipsoid_of(request)), grid)[0].numpy()


def white_noise(seed=0):
    return np.random.default_rng(seed).standard_normal(FINE.shape).astype(np.float32)


def laid_down(layout, request, room=None, regions=True):
    room = head() if room is None else room
    return label_of(layout, request.iloc[0], room, white_noise(), FINE, regions)


def head(radius=75):
    return np.linalg.norm(millimetres() - [0, -18, 8], axis=-1) < radius


def test_labels_are_nested_masks_and_back():
    label = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    whole, core, necrosis = nested_masks(label)
    assert (necrosis <= core).all() and (core <= whole).all()
    assert (core & ~necrosis == (label == 3)).all()
    assert np.array_equal(from_nested(nested_masks(label)), label)


def test_volumes_are_read_at_the_points_of_the_frame():
    volume = np.random.default_rng(0).random(GRID.shape).astype(np.float32)
    points = frame_points(torch.tensor([[10.0, -20, 5, 15, 25, 10]]))
    read = in_frame(torch.from_numpy(volume)[None, None], points, GRID)[0, 0]
    mm = points[0].numpy().reshape(3, -1).T
    voxels = (mm - GRID.affine[:3, 3]) / np.diag(GRID.affine)[:3]
    expected = ndimage.map_coordinates(volume, voxels.T, order=1)
    np.testing.assert_allclose(read.numpy().ravel(), expected, atol=1e-4)


def test_scaling_of_layouts_is_undone():
    layouts = torch.rand(2, *LAYOUT_SHAPE)
    torch.testing.assert_close(unscaled(scaled(layouts)), layouts)


@pytest.mark.parametrize("axes", [(9, 9, 9), (14, 22, 12), (33, 26, 30)])
def test_a_tumour_s_layout_laid_down_again_is_the_tumour(axes):
    label = glioma([28, -20, 12], axes)
    request = request_for(label)
    back = laid_down(layout_of(label, request), request)
    for ours, theirs in zip(nested_masks(back), nested_masks(label), strict=True):
        assert dice(ours, theirs) > 0.9


def test_volume_centroid_and_shares_are_the_requested_ones():
    label = glioma([28, -20, 12], (20, 16, 14))
    drawn = layout_of(label, request_for(label))
    request = request_for(label).assign(volume_ml=30.0, core_share=0.5, enhancing_share=0.1)
    for axis, value in zip("xyz", (-25.0, 10.0, 20.0), strict=True):
        request[f"centroid_{axis}_mm"] = value
    # Moved in its frame: the network need not centre what it draws.
    moved = np.roll(drawn, 3, axis=1)
    measured = tumour_attributes(laid_down(moved, request), FINE.affine)
    assert measured["volume_ml"] == pytest.approx(30, abs=0.03)
    assert measured["core_share"] == pytest.approx(0.5, abs=0.01)
    assert measured["enhancing_share"] == pytest.approx(0.1, abs=0.01)
    centroid = [measured[f"centroid_{axis}_mm"] for axis in "xyz"]
    np.testing.assert_allclose(centroid, [-25, 10, 20], atol=1.0)


def test_a_tumour_keeps_to_the_brain_and_its_volume():
    label = glioma([55, -20, 12], (20, 20, 20))
    request, brain = request_for(label), head(68)
    assert (label[~brain] > 0).sum() > 100
    laid = laid_down(layout_of(label, request), request, brain)
    assert not laid[~brain].any()
    assert (laid > 0).sum() == (label > 0).sum()


def test_regions_that_are_not_requested_are_the_layout_s_own_and_absent_where_unknown():
    label = glioma([28, -20, 12], (20, 16, 14))
    request = request_for(label)
    shares = request[["core_share", "enhancing_share"]].iloc[0]
    drawn, unknown = layout_of(label, request), request.assign(core_share=None).astype(float)
    unknown["enhancing_share"] = np.nan
    measured = tumour_attributes(laid_down(drawn, unknown), FINE.affine)
    assert measured["core_share"] == pytest.approx(shares["core_share"], abs=0.02)
    assert measured["enhancing_share"] == pytest.approx(shares["enhancing_share"], abs=0.03)
    assert set(np.unique(laid_down(drawn, request, regions=False))) == {0, 2}


@pytest.mark.parametrize(
    ("axes", "targets"),
    [((15, 12, 10), [0.75]), ((20, 20, 20), [0.72, 0.9]), ((40, 16, 16), [0.72, 0.9])],
)
def test_an_outline_is_as_spherical_as_requested(axes, targets):
    label = glioma([28, -20, 12], axes)
    spacing = np.array(FINE.spacing_mm)
    for target in targets:
        changed = with_sphericity(label > 0, target, head(), white_noise(), FINE)
        assert changed.sum() == (label > 0).sum()
        assert sphericity(changed, spacing) == pytest.approx(target, abs=0.02)
        assert ndimage.label(changed, np.ones((3, 3, 3)))[1] == 1
        request = request_for(label).assign(sphericity=target)
        measured = tumour_attributes(laid_down(layout_of(label, request), request), FINE.affine)
        assert measured["sphericity"] == pytest.approx(target, abs=0.03)
        offset = [
            measured[name] - request[name][0]
            for name in request
            if "centroid" in name and "mm" in name
        ]
        assert np.linalg.norm(offset) < 3


def test_other_noise_gives_another_outline():
    mask = glioma([28, -20, 12], (20, 20, 20)) > 0
    first, second = (with_sphericity(mask, 0.8, head(), white_noise(s), FINE) for s in (0, 1))
    assert 0.5 < dice(first, second) < 0.9


def test_an_outline_that_is_out_of_reach_keeps_its_volume():
    mask = glioma([28, -20, 12], (40, 14, 14)) > 0
    own, spacing = sphericity(mask, np.array(FINE.spacing_mm)), np.array(FINE.spacing_mm)
    rough, smooth = (with_sphericity(mask, t, head(), white_noise(), FINE) for t in (0.1, 1.0))
    assert rough.sum() == smooth.sum() == mask.sum()
    assert sphericity(rough, spacing) < own - 0.1
    assert own < sphericity(smooth, spacing) < 0.99
    # A mask that is as requested stays so, but for single voxels.
    assert dice(with_sphericity(mask, own, head(), white_noise(), FINE), mask) > 0.97


def test_errors_around_a_tumour_add_nothing_to_its_regions():
    """The frame holds many times the tumour's volume."""
    label = np.where(glioma([28, -20, 12], (20, 16, 14)) > 0, 2, 0).astype(np.uint8)
    request = request_for(label)
    noise = np.random.default_rng(0).normal(0, 0.02, (3, 24, 24, 24))
    laid = laid_down(layout_of(label, request) + noise, request)
    assert (laid > 0).sum() == (label > 0).sum()
    assert (laid == 3).sum() + (laid == 1).sum() < 0.02 * (label > 0).sum()


def test_a_requested_share_that_enhances_is_met_without_one_of_core():
    label = glioma([28, -20, 12], (20, 16, 14))
    request = request_for(label).assign(core_share=np.nan, enhancing_share=0.4)
    laid = laid_down(layout_of(label, request), request)
    measured = tumour_attributes(laid, FINE.affine)
    assert measured["enhancing_share"] == pytest.approx(0.4, abs=0.01)


def test_labels_without_regions_teach_nothing_of_core_and_necrosis():
    settings = small_settings(drop=0.0)
    bundle, table = small_bundle(settings), random_attributes(2)
    masks = torch.rand(2, 3, *GRID.shape) > 0.5
    parts = torch.from_numpy(latents(2)), ellipsoid_of(table), tissue_of(2), torch.zeros(2, *SHAPE)
    # An output of 0, which depends on none of the masks.
    torch.nn.init.zeros_(bundle.layout.last.weight)
    networks = Denoisers(bundle.denoiser, bundle.layout)
    training = DiffusionTraining(networks, Process(settings), bundle.space, settings, GRID, seed=0)

    def loss(masks):
        latent, *rest = parts
        batch = latent, Scaling.fit(table).vectors(table), *rest, masks
        return training.losses(batch, 0)["loss_layout"].item()

    other = masks.clone()
    other[:, 1:] = ~other[:, 1:]
    assert loss(masks) != loss(other)
    training.regions = False
    assert loss(masks) == loss(other)


def small_settings(**changes) -> DiffusionSettings:
    return settings_with(layout=LAYOUT, **changes)


def small_bundle(settings):
    torch.manual_seed(0)
    space = fit_latent_space(latents(), None, GRID, 2, settings)
    bundle = build_bundle(settings, space, GRID)
    for weight in bundle.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return bundle.eval()


def test_layouts_are_learned_beside_the_latents():
    settings = small_settings()
    bundle, table = small_bundle(settings), random_attributes(12)
    rng, scaling = np.random.default_rng(0), Scaling.fit(table)
    masks = np.sort(rng.random((12, 3, *GRID.shape)), 1)[:, ::-1] > 0.6
    tumours = np.stack([pack_mask(mask) for mask in masks])
    anatomy = tissue_of(12).numpy(), np.zeros_like(latents())
    vectors, ellipsoids = scaling.vectors(table), ellipsoid_of(table)
    batch = LatentBatches(latents(), vectors, ellipsoids, anatomy, 4, 0, tumours)(0)
    chosen = np.random.default_rng([0, 0]).integers(12, size=4)
    assert np.array_equal(batch[-1].numpy(), masks[chosen])
    networks = Denoisers(bundle.denoiser, bundle.layout)
    training = DiffusionTraining(networks, Process(settings), bundle.space, settings, GRID, seed=0)
    losses = training.losses(batch, 0)
    assert losses["loss"] == losses["loss_latents"] + losses["loss_layout"]
    losses["loss_layout"].backward()
    assert all(weight.grad is None for weight in bundle.denoiser.parameters())
    assert sum(weight.grad.abs().sum() for weight in bundle.layout.parameters()) > 0


def test_a_layout_does_not_depend_on_its_company():
    settings, table = small_settings(), random_attributes(3).assign(volume_ml=[5.0, 9.0, 20.0])
    table[["core_share", "enhancing_share"]] = np.nan
    generator = Generator(small_bundle(settings), settings, Scaling.fit(table), GRID, True)
    tissue, sampler = np.full((3, 3, *GRID.shape), 85, np.uint8), Sampler(3, 10, 0.1)

    def random(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    room = np.ones((3, *GRID.shape), bool)
    together = generator.draw_labels(table, tissue, room, random(1, 2, 3), sampler, "fp32")
    alone = generator.draw_labels(table[2:], tissue[2:], room[2:], random(3), sampler, "fp32")
    assert dice(together[2] > 0, alone[0] > 0) > 0.99
    voxels = (together > 0).sum((1, 2, 3)) * GRID.voxel_ml
    np.testing.assert_allclose(voxels, table["volume_ml"], atol=GRID.voxel_ml)


def test_without_layouts_labels_are_empty():
    settings, table = settings_with(), random_attributes(2)
    generator = Generator(small_bundle(settings), settings, Scaling.fit(table), GRID, True)
    tissue = np.zeros((2, 3, *GRID.shape), np.uint8)
    noise = [torch.Generator()] * 2, Sampler(3, 10, 0.1), "fp32"
    labels = generator.draw_labels(table, tissue, tissue.any(1), *noise)
    assert labels.shape == (2, *GRID.shape)
    assert not labels.any()


def test_layouts_need_an_anatomy():
    with pytest.raises(ValueError, match="anatomy is none; set layout to null"):
        small_settings(anatomy="none")
    with pytest.raises(ValueError, match="blocks needs one value for each of widths"):
        settings_with(layout=LAYOUT | {"blocks": [1]})
    with pytest.raises(ValueError, match="24 cells cannot be halved 4 times"):
        settings_with(layout=LAYOUT | {"widths": [8] * 5, "blocks": [1] * 5})
