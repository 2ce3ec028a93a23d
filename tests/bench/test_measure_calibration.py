"""A denoiser that says too little, or too much, is measured as such."""

import numpy as np
import pytest

from workflow_scripts.bench.measure_calibration import calibration, parts_by_size

SPACING_MM = (6.0, 6.0, 3.0)
SHAPE = (2, 3, 16, 16, 24)


def random_latents(seed=0):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def everywhere():
    return np.ones((SHAPE[0], *SHAPE[2:]), bool)


def test_sizes_of_detail_add_up_to_the_whole():
    latents = random_latents()
    parts = parts_by_size(latents, SPACING_MM)
    assert list(parts) == ["0 to 4 mm", "4 to 8 mm", "8 to 16 mm", "16 to 32 mm", "rest"]
    np.testing.assert_allclose(sum(parts.values()), latents, atol=1e-5)


def test_a_perfect_estimate_has_slope_1_and_explains_everything():
    table = calibration(random_latents(), random_latents(), everywhere(), SPACING_MM)
    assert table.drop(columns="error").to_numpy() == pytest.approx(1.0)
    assert table["error"].to_numpy() == pytest.approx(0.0)


def test_detail_of_one_size_that_is_halved_has_the_largest_slope():
    truth = random_latents()
    parts = parts_by_size(truth, SPACING_MM)
    estimate = truth - parts["8 to 16 mm"] / 2
    slope = calibration(truth, estimate, everywhere(), SPACING_MM)["slope"]
    # Neighbouring sizes overlap.
    assert slope["8 to 16 mm"] == slope.max() > 1.2
    assert slope["0 to 4 mm"] == pytest.approx(1.0, abs=0.02)


def test_noise_that_is_said_to_be_detail_has_slope_and_share_of_one_half():
    truth = random_latents()
    table = calibration(truth, truth + random_latents(1), everywhere(), SPACING_MM)
    fine = table.loc["0 to 4 mm"]
    assert fine["slope"] == pytest.approx(0.5, abs=0.03)
    assert fine["explained"] == pytest.approx(0.5, abs=0.03)
    # The noise is as strong as the truth.
    assert table.loc["all", "error"] == pytest.approx(1.0, abs=0.03)


def test_slices_of_one_brightness_that_are_drawn_with_two_are_seen():
    truth = random_latents()
    stripes = np.tile(np.float32([1, -1]), SHAPE[-1] // 2)
    table = calibration(truth, truth + stripes, everywhere(), SPACING_MM)
    assert table["variance"].idxmax() == "slice to slice"
    assert table.loc["slice to slice", "slope"] < 0.5
    nowhere = everywhere()
    nowhere[:, ::4] = False
    assert "slice to slice" not in calibration(truth, truth, nowhere, SPACING_MM).index


def test_what_lies_elsewhere_does_not_count():
    truth, where = random_latents(), everywhere()
    where[:, 8:] = False
    estimate = truth.copy()
    estimate[:, :, 14:] = 100
    table = calibration(truth, estimate, where, SPACING_MM)
    assert table["slope"]["0 to 4 mm"] == pytest.approx(1.0, abs=0.01)
