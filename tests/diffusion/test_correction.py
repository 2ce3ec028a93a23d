"""The linear correction of the denoiser's estimate."""

import numpy as np
import pytest
import torch

from tests.diffusion.test_denoiser import GRID, latents, settings_with, tissue_of
from tests.models import random_attributes
from workflow_scripts.common.weights import load_weights, save_model
from workflow_scripts.diffusion.conditions import Scaling, ellipsoid_of
from workflow_scripts.diffusion.correction import (
    COUNT,
    FIRST,
    HALF_OF_WIDE,
    LEVELS,
    PARTS,
    Correction,
    Example,
    Surroundings,
    _normal_equations,
    fit_correction,
    head_parts,
    inputs_per_part,
    neighbour_means,
    slice_means,
    wide_part,
)
from workflow_scripts.diffusion.generator import build_bundle
from workflow_scripts.diffusion.latents import fit_latent_space
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.train import LatentBatches
from workflow_scripts.diffusion.train_diffusion import correct, rows_to_fit

CHANNELS, SIZE = 2, (12, 12, 16)


def sample(seed, tumour=True):
    """Smooth latents with their surroundings, half white matter and half grey matter."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(1, CHANNELS, *SIZE, generator=random)
    smooth = torch.nn.functional.avg_pool3d(drawn, 3, 1, 1) * 4
    tissue = torch.zeros(1, 3, *SIZE)
    tissue[:, 0, :6], tissue[:, 1, 6:] = 1, 1
    soft = torch.zeros(1, 1, *SIZE)
    if tumour:
        soft[:, :, 4:8, 4:8, 4:10] = 1
    rendered = torch.randn(1, CHANNELS, *SIZE, generator=random)
    return smooth, Surroundings(head_parts(tissue, soft), slice_means(rendered))


def examples(wrong, count=8):
    """Samples whose estimates are ``wrong(latents, surroundings)``."""
    for seed in range(count):
        smooth, around = sample(seed)
        estimate = wrong(smooth, around)
        yield Example(smooth, around, lambda noisy, sigma, estimate=estimate: estimate)


def error(correction, smooth, around, estimate, level=1.0):
    noisy = smooth + level * torch.randn(smooth.shape, generator=torch.Generator().manual_seed(99))
    corrected = correction(estimate, noisy, torch.tensor([level]), around)
    return float((corrected - smooth).square().mean() / (estimate - smooth).square().mean())


def blurred(smooth, around):
    return torch.nn.functional.avg_pool3d(smooth, (1, 1, 3), 1, (0, 0, 1)) * 0.7


def mixed(smooth, around):
    return smooth[:, [1, 0]] + 0.5 * around.rendered[:, :CHANNELS]


@pytest.mark.parametrize("wrong", [blurred, mixed])
def test_linear_errors_are_corrected_on_other_samples(wrong):
    correction = fit_correction(examples(wrong), CHANNELS, 0)
    smooth, around = sample(100)
    assert error(correction, smooth, around, wrong(smooth, around)) < 0.5
    # A right estimate without a correction stays.
    assert error(Correction(CHANNELS), smooth, around, smooth + 1) == pytest.approx(1)


def test_estimates_without_a_linear_error_are_not_made_worse():
    """Errors that nothing tells beforehand leave nothing to correct."""

    def noise_behind(smooth, around):
        random = torch.Generator().manual_seed(int(smooth.sum() * 1000) % 2**31)
        return smooth + torch.randn(smooth.shape, generator=random)

    correction = fit_correction(examples(noise_behind, 24), CHANNELS, 0)
    smooth, around = sample(100)
    # Smoothing this white noise is right, so that the error falls; it must not grow.
    assert error(correction, smooth, around, noise_behind(smooth, around)) < 1


def test_each_part_of_the_head_has_its_own_correction():
    def halved_in_white_matter(smooth, around):
        white = around.parts[:, 1:2]
        return smooth * (1 - white / 2)

    correction = fit_correction(examples(halved_in_white_matter), CHANNELS, 0)
    smooth, around = sample(100)
    estimate = halved_in_white_matter(smooth, around)
    corrected = correction(estimate, smooth, torch.tensor([LEVELS[5]]), around)
    grey, white = around.parts[:, :1] > 0.99, around.parts[:, 1:2] > 0.99
    changed = (corrected - estimate).abs()
    assert float(changed[grey.expand_as(changed)].mean()) < 0.05
    assert float(changed[white.expand_as(changed)].mean()) > 0.2


def test_the_normal_equations_are_those_of_all_parts_at_once():
    shares = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]]).repeat(1, 20)
    random = torch.Generator().manual_seed(0)
    inputs, error = torch.randn(4, 60, generator=random), torch.randn(2, 60, generator=random)
    squares, products = _normal_equations(shares, inputs, error)
    design = (shares[:, None] * inputs[None]).flatten(0, 1)
    np.testing.assert_allclose(squares, design @ design.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(products, design @ error.T, rtol=1e-4, atol=1e-4)


def test_the_parts_of_a_head_sum_to_one():
    tissue = torch.rand(2, 3, *SIZE)
    tissue = tissue / tissue.sum(1, keepdim=True) * torch.rand(2, 1, *SIZE)
    parts = head_parts(tissue, torch.rand(2, 1, *SIZE))
    assert parts.shape == (2, PARTS, *SIZE)
    torch.testing.assert_close(parts.sum(1), torch.ones(2, *SIZE))


def test_neighbours_are_averaged_within_and_across_slices():
    single = torch.zeros(1, 1, 5, 5, 5)
    single[0, 0, 2, 2, 2] = 1
    means = neighbour_means(single)[0]
    # Centre, its neighbours across slices, and each ring in the same slice and across.
    expected = {(2, 2, 2): (0, 1.0), (2, 2, 3): (1, 0.5), (1, 2, 2): (2, 0.25),
                (2, 1, 1): (3, 0.125), (1, 1, 2): (4, 0.25), (3, 1, 3): (5, 0.125)}  # fmt: skip
    for place, (row, value) in expected.items():
        assert means[:, *place].tolist() == [value if i == row else 0 for i in range(6)]
    assert len(neighbour_means(torch.zeros(1, 3, 5, 5, 5))[0]) == 18


def test_weights_are_interpolated_and_vanish_without_noise():
    correction = Correction(CHANNELS)
    correction.weights.copy_(torch.rand(correction.weights.shape))
    assert correction.weights.shape == (COUNT, PARTS, inputs_per_part(CHANNELS), CHANNELS)
    known = torch.tensor([LEVELS[0], LEVELS[4], LEVELS[-1], 1000.0])
    torch.testing.assert_close(
        correction.at(known), correction.weights[[0, 4, -1, -1]], rtol=1e-4, atol=1e-4
    )
    between = correction.at(torch.tensor([(LEVELS[4] * LEVELS[5]) ** 0.5]))[0]
    torch.testing.assert_close(between, correction.weights[4:6].mean(0), rtol=1e-4, atol=1e-4)
    small = correction.at(torch.tensor([FIRST / 10]))[0]
    torch.testing.assert_close(small, correction.weights[0] / 100)


def test_wide_detail_is_corrected_at_low_noise_and_fine_detail_at_any():
    """Weights that add the rendered latents add less of their wide part, the more noise there
    is."""
    correction = Correction(CHANNELS)
    first = 2 * CHANNELS * 6
    correction.weights[:, :, first : first + CHANNELS] = torch.eye(CHANNELS)
    smooth, around = sample(0)
    wide = torch.linspace(-1, 1, SIZE[2]).expand(1, CHANNELS, *SIZE)
    fine = torch.ones(SIZE) * torch.tensor([1.0, -1.0]).repeat(SIZE[2] // 2)
    shares = {}
    for name, detail in {"wide": wide, "fine": fine.expand_as(wide)}.items():
        shown = Surroundings(around.parts, slice_means(detail))
        for level in (0.1, HALF_OF_WIDE, 100.0):
            added = correction(smooth, smooth, torch.tensor([level]), shown) - smooth
            shares[name, level] = float((added * detail).sum() / detail.square().sum())
    assert shares["wide", 0.1] > 0.99 and shares["wide", 100.0] < 0.15
    assert shares["wide", HALF_OF_WIDE] == pytest.approx(0.5, abs=0.1)
    assert all(shares["fine", level] > 0.9 for level in (0.1, HALF_OF_WIDE, 100.0))
    torch.testing.assert_close(wide_part(torch.ones(1, 2, 5, 7, 3)), torch.ones(1, 2, 5, 7, 3))


def test_a_sample_is_corrected_alike_in_any_batch():
    correction = fit_correction(examples(blurred, 3), CHANNELS, 0)
    samples = [sample(seed) for seed in (5, 6)]
    parts, rendered = ([getattr(a, n) for _, a in samples] for n in ("parts", "rendered"))
    both = Surroundings(torch.cat(parts), torch.cat(rendered))
    smooth = torch.cat([s for s, _ in samples])
    sigma = torch.tensor([0.5, 3.0])
    together = correction(smooth * 0.8, smooth, sigma, both)
    for row, (one, around) in enumerate(samples):
        alone = correction(one * 0.8, one, sigma[row : row + 1], around)
        torch.testing.assert_close(together[row : row + 1], alone)


def test_the_same_examples_give_the_same_bytes_and_another_seed_other_ones():
    first, again, other = (fit_correction(examples(mixed, 3), CHANNELS, seed) for seed in (0, 0, 1))
    assert torch.equal(first.weights, again.weights)
    assert not torch.equal(first.weights, other.weights)


def test_patients_are_fitted_before_their_copies():
    copies = [0, 1, 2] * 7
    rows = rows_to_fit(copies, 16, 3)
    assert len(rows) == 16
    assert [copies[row] for row in rows] == [0] * 7 + [1] * 7 + [2] * 2
    assert len(set(rows)) == 16
    assert sorted(rows_to_fit([0, 0, 1], 16, 0)) == [0, 1, 2]


def trained(settings, stored, anatomy):
    """A bundle whose untrained network knows nothing of the latents, with its training samples."""
    attributes = random_attributes(len(stored))
    space = fit_latent_space(stored, anatomy[1], GRID, 2, settings)
    bundle = build_bundle(settings, space, GRID).eval().requires_grad_(False)
    conditions = Scaling.fit(attributes).vectors(attributes)
    return bundle, LatentBatches(stored, conditions, ellipsoid_of(attributes), anatomy, 2, 0)


def test_a_denoiser_is_corrected_and_its_folder_holds_the_correction(tmp_path):
    settings = settings_with(correction=12)
    stored = latents()
    anatomy = tissue_of(len(stored)), (stored * 0.1).astype(np.float16)
    bundle, batches = trained(settings, stored, anatomy)
    assert not bundle.correction.weights.any()
    bundle.correction = None
    rows = range(len(stored))
    correction = correct(bundle, settings, batches, rows, 0)
    latent, vectors, ellipsoids, tissue, rendered, _ = batches.rows([0])
    x0 = bundle.space.standardise(latent.float() - rendered.float())
    noisy = x0 + torch.randn(x0.shape, generator=torch.Generator().manual_seed(5))
    errors = {}
    for name, fitted in {"before": None, "after": correction}.items():
        bundle.correction = fitted
        present = torch.ones(1, dtype=torch.bool)
        known = bundle.condition(settings, vectors, ellipsoids, present, tissue, rendered)
        estimate = bundle.estimate(Process(settings), noisy, torch.ones(1), known, "fp32")
        errors[name] = float((estimate - x0).square().mean())
    assert errors["after"] < errors["before"]
    save_model(tmp_path, bundle, {})
    again, _ = trained(settings, stored, anatomy)
    load_weights(tmp_path, again)
    assert torch.equal(again.correction.weights, correction.weights)


def test_a_correction_needs_an_anatomy():
    with pytest.raises(ValueError, match="anatomy is none; set correction to 0"):
        settings_with(anatomy="none", correction=12)
