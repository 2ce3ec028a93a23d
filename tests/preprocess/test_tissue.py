"""Tissue maps: found again from images alone, blind to the tumour."""

import numpy as np
import pytest
from scipy import ndimage

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, save_tissue
from workflow_scripts.preprocess import tissue
from workflow_scripts.preprocess.tissue import (
    mean_quantiles,
    mirrored_around,
    tissue_maps,
    tissue_prior,
    with_quantiles,
)

GRID = Grid((48, 56, 48), (4.0, 4.0, 4.0))
# Intensities of grey matter, white matter and CSF in FLAIR and in T1ce.
INTENSITIES = np.array([[0.7, 0.55], [0.45, 0.8], [0.1, 0.15]])


def moved(maps, shift):
    """Fractions elsewhere than the template has them."""
    return np.stack([ndimage.shift(each, shift, order=1, mode="nearest") for each in maps])


@pytest.fixture(scope="module")
def head():
    """Fractions (3, X, Y, Z), brain and image (2, X, Y, Z) of a head two voxels from the
    template's place, with noise and a brightness that rises from left to right."""
    rng = np.random.default_rng(0)
    sharp = tissue_prior(GRID) ** 4 * np.exp(rng.normal(0, 0.5, (3, *GRID.shape)))
    fractions = moved(sharp / sharp.sum(0), (1, 2, 0))
    mm = GRID.to_mm(np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), -1))
    brain = (((mm - [0, -18, 10]) / [66, 84, 64]) ** 2).sum(-1) < 1
    image = np.einsum("kxyz,km->mxyz", fractions, INTENSITIES)
    image = image * np.linspace(0.8, 1.2, GRID.shape[0])[:, None, None]
    image = (image + rng.normal(0, 0.03, image.shape)).clip(0, 1) * brain
    return fractions * brain, brain, image.astype(np.float32)


def tumour(centre, radius_mm):
    """A ball's mask; ``centre`` in template mm."""
    mm = GRID.to_mm(np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), -1))
    return (np.linalg.norm(mm - centre, axis=-1) < radius_mm).astype(np.uint8)


def correlations(found, truth, where):
    return [np.corrcoef(a[where], b[where])[0, 1] for a, b in zip(found, truth, strict=True)]


def test_the_prior_is_a_distribution_and_the_templates():
    prior = tissue_prior(GRID)
    np.testing.assert_allclose(prior.sum(0), 1, rtol=1e-5)
    deep_white = tuple(np.round(GRID.to_voxel([26, -20, 28])).astype(int))
    ventricle = tuple(np.round(GRID.to_voxel([8, -4, 18])).astype(int))
    assert prior[1][deep_white] > 0.6
    assert prior[2][ventricle] > prior[2][deep_white]


def test_fractions_are_those_of_the_image_and_not_of_the_prior(head):
    fractions, brain, image = head
    maps = tissue_maps(image, brain, np.zeros(GRID.shape, np.uint8), GRID)
    np.testing.assert_allclose(maps.sum(0)[brain], 1, rtol=1e-5)
    assert not maps[:, ~brain].any()
    found = correlations(maps, fractions, brain)
    assert min(found) > 0.85
    assert min(np.subtract(found, correlations(tissue_prior(GRID), fractions, brain))) > 0.1


def test_one_modality_is_enough(head):
    fractions, brain, image = head
    maps = tissue_maps(image[1:], brain, np.zeros(GRID.shape, np.uint8), GRID)
    assert min(correlations(maps, fractions, brain)) > 0.75


def test_a_field_of_brightness_is_followed(head, monkeypatch):
    fractions, brain, image = head
    label = np.zeros(GRID.shape, np.uint8)
    image = image * np.linspace(0.5, 1, GRID.shape[0], dtype=np.float32)[:, None, None]
    with_field = correlations(tissue_maps(image, brain, label, GRID), fractions, brain)
    monkeypatch.setattr(tissue, "_field", lambda values, basis, *_: np.zeros((basis.shape[1], 2)))
    without = correlations(tissue_maps(image, brain, label, GRID), fractions, brain)
    assert min(with_field) > 0.8
    assert max(np.subtract(with_field, without)) > 0.05


def test_maps_do_not_depend_on_what_the_tumour_looks_like(head):
    _, brain, image = head
    label = tumour([34, -10, 24], 20)
    dark, lit = image.copy(), image.copy()
    dark[:, label > 0], lit[:, label > 0] = 0.0, 1.0
    np.testing.assert_array_equal(
        tissue_maps(dark, brain, label, GRID), tissue_maps(lit, brain, label, GRID)
    )


def test_the_other_hemisphere_stands_in_for_a_tumour_and_the_prior_at_the_midline(head):
    _, brain, image = head
    beside, across = tumour([34, -10, 24], 20), tumour([0, -10, 24], 16)
    maps = tissue_maps(image, brain, beside, GRID)
    inside = (beside > 0) & brain & brain[::-1]
    np.testing.assert_array_equal(maps[:, inside], maps[:, ::-1][:, inside])
    maps = tissue_maps(image, brain, across, GRID)
    inside = (across > 0) & brain
    np.testing.assert_array_equal(maps[:, inside], tissue_prior(GRID)[:, inside])


def test_a_brain_that_is_all_tumour_has_the_priors_tissue(head):
    _, brain, image = head
    maps = tissue_maps(image, brain, brain.astype(np.uint8), GRID)
    np.testing.assert_array_equal(maps[:, brain], tissue_prior(GRID)[:, brain])


def test_maps_take_the_distribution_of_others_and_keep_their_order(head):
    sharp, brain, _ = head
    # Of noisier images: no voxel is pure, and there is more white matter.
    soft = (0.5 * sharp + np.array([0.1, 0.3, 0.1])[:, None, None, None]) * brain
    quantiles = mean_quantiles([soft, soft, np.zeros_like(soft)])
    matched = with_quantiles(sharp, quantiles)
    np.testing.assert_allclose(matched.sum(0)[brain], 1, rtol=1e-5)
    assert not matched[:, ~brain].any()
    before = np.abs(sharp[:, brain].mean(1) - soft[:, brain].mean(1))
    assert (np.abs(matched[:, brain].mean(1) - soft[:, brain].mean(1)) < before / 5).all()
    assert matched[:, brain].max() < 0.9 < sharp[:, brain].max()
    assert min(correlations(matched, sharp, brain)) > 0.98
    # What already has this distribution stays as it is, and equal values stay equal.
    same = with_quantiles(sharp, mean_quantiles([sharp]))
    np.testing.assert_allclose(same, sharp, atol=0.02)
    flat = np.where(brain, np.array([0.5, 0.3, 0.2])[:, None, None, None], 0)
    assert np.ptp(with_quantiles(flat, quantiles)[:, brain], axis=1).max() < 1e-6


def test_maps_are_kept_in_steps_of_a_255th(head, tmp_path):
    fractions, _, _ = head
    save_tissue(tmp_path, fractions)
    np.testing.assert_allclose(Patient(tmp_path).tissue(), fractions, atol=0.5 / 255 + 1e-6)


def test_maps_are_mirrored_around_a_tumour_where_both_sides_are_brain(head):
    fractions, brain, _ = head
    mask = tumour([40, -20, 20], 15) > 0
    found = {margin: mirrored_around(fractions, mask, margin, GRID) for margin in (0.0, 15.0)}
    changed = {margin: (maps != fractions).any(0) for margin, maps in found.items()}
    assert 0 < 2 * changed[0.0].sum() < changed[15.0].sum()
    assert np.array_equal(found[0.0][:, mask], fractions[:, ::-1][:, mask])
    # Where only one side is brain, nothing changes.
    assert not (changed[15.0] & ~(brain & brain[::-1])).any()
    assert np.array_equal(mirrored_around(fractions, np.zeros_like(mask), 5.0, GRID), fractions)
