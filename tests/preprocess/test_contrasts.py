"""A brain's contrasts: those that were planted are found, and drawn."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.grid import Grid
from workflow_scripts.preprocess.contrasts import (
    TERMS,
    draw_contrasts,
    fill_intensities,
    fit_contrasts,
    paint_regions,
    region_intensities,
    region_volumes,
)

GRID = Grid((24, 32, 16), (6.0, 5.0, 7.0))


@pytest.fixture(scope="module")
def tissue():
    """Three tissues in a box of brain, each with parts of its own."""
    rng = np.random.default_rng(0)
    maps = rng.dirichlet([0.3, 0.3, 0.3], GRID.shape).transpose(3, 0, 1, 2)
    maps[:, :3], maps[:, :, -4:] = 0, 0
    return maps.astype(np.float32)


def planted(seed=0):
    """Contrasts (3, terms, 2) of a brain whose brightness changes over it."""
    rng = np.random.default_rng(seed)
    found = 0.05 * rng.normal(size=(3, TERMS, 2))
    found[:, 0] = [[0.4, 0.6], [0.7, 0.4], [0.2, 0.3]]
    return found.astype(np.float32)


def draw(contrasts, tissue):
    return draw_contrasts(contrasts, tissue, GRID)


def test_what_was_planted_is_found(tissue):
    label = np.zeros(GRID.shape, np.uint8)
    image = draw(planted(), tissue)
    found = fit_contrasts(image, tissue, label, GRID)
    assert found.shape == (3, TERMS, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(draw(found, tissue), image, atol=0.01)
    # Another brain looks as if it came from the same scanner.
    other = tissue[:, ::-1].copy()
    np.testing.assert_allclose(draw(found, other), draw(planted(), other), atol=0.02)


def test_the_tumour_and_noise_change_little(tissue):
    rng, label = np.random.default_rng(1), np.zeros(GRID.shape, np.uint8)
    label[8:14, 8:14, 4:9] = 1
    clean = draw(planted(), tissue)
    image = clean + rng.normal(0, 0.05, clean.shape) * (tissue.sum(0) > 0)
    image[:, label > 0] = 1
    errors = [
        np.sqrt(np.mean((draw(fit_contrasts(image, tissue, without, GRID), tissue) - clean) ** 2))
        for without in (label, 0 * label)
    ]
    # It would mislead if it were among the brain.
    assert errors[0] < 0.01 < errors[1]


def test_brightness_is_a_polynomial_of_the_position(tissue):
    contrasts = np.zeros((3, TERMS, 1), np.float32)
    x, y, z = GRID.to_mm(np.array([[5, 9, 3]]))[0] / 100
    terms = [1, x, y, z, x * x, y * y, z * z, x * y, x * z, y * z]
    for k, term in enumerate(terms):
        contrasts[:] = 0
        contrasts[1, k] = 1 if term > 0 else -1
        drawn = draw(contrasts, tissue)[0, 5, 9, 3]
        assert drawn == pytest.approx(tissue[1, 5, 9, 3] * abs(term), abs=1e-6)


def test_outside_of_the_brain_nothing_is_drawn(tissue):
    assert not draw(planted(), tissue)[:, tissue.sum(0) == 0].any()


def test_a_tissue_that_is_missing_is_no_error(tissue):
    two = tissue.copy()
    two[2] = 0
    image = draw(planted(), two)
    found = fit_contrasts(image, two, np.zeros(GRID.shape, np.uint8), GRID)
    assert not found[2].any()
    np.testing.assert_allclose(draw(found, two), image, atol=0.01)


def regions_in_a_brain():
    """A label of oedema with an enhancing core in it, and a brain of an even grey."""
    label = np.zeros((24, 20, 18), np.uint8)
    label[4:18, 5:16, 4:14], label[8:15, 8:13, 6:12] = 2, 3
    return label, np.full((2, *label.shape), 0.4, np.float32)


def test_planted_intensities_of_regions_are_found():
    label, brain = regions_in_a_brain()
    planted = np.array([[np.nan, np.nan], [0.7, 0.3], [0.5, 0.9]], np.float32)
    image = paint_regions(brain, label, planted)
    image += np.random.default_rng(0).normal(0, 0.03, image.shape).astype(np.float32)
    means = region_intensities(image, brain, label)
    assert np.isnan(means[0]).all()  # no necrosis
    np.testing.assert_allclose(means[1:], planted[1:], atol=0.01)
    # A voxel thick, a rim is mixed with what lies on both sides of it.
    rim = np.where(ndimage.binary_erosion(label == 3), 1, label).astype(np.uint8)
    planted[0] = 0.1
    painted = paint_regions(brain, rim, planted)
    assert painted[1, rim == 3].mean() < 0.8
    np.testing.assert_allclose(region_intensities(painted, brain, rim), planted, atol=0.02)


@pytest.mark.parametrize("voxels", [1, 2, 4])
def test_a_region_of_a_few_voxels_is_about_as_bright_as_they_are(voxels):
    label, brain = regions_in_a_brain()
    label[10, 10, 8 : 8 + voxels] = 1
    image = brain.copy()
    for value, level in ((1, 0.9), (2, 0.7), (3, 0.5)):
        image[:, label == value] = level
    image = ndimage.gaussian_filter(image, (0, 0.6, 0.6, 0.6))
    means = region_intensities(image, brain, label)
    assert (means[0] > image[:, label == 1].mean(1) - 0.05).all()
    assert (means[0] < 1.1).all()


def test_a_thin_bright_rim_is_painted_as_bright_as_it_is():
    """Its intensity, if it filled its voxels, may be above 1."""
    label, brain = regions_in_a_brain()
    label[ndimage.binary_erosion(label == 3)] = 1
    image = brain.copy()
    for value, level in ((1, 0.1), (2, 0.4), (3, 0.95)):
        image[:, label == value] = level
    painted = paint_regions(brain, label, region_intensities(image, brain, label))
    assert abs(painted - image)[:, label == 3].mean() < 0.08
    assert painted.max() <= 1


def test_nothing_is_painted_outside_the_head():
    label, brain = regions_in_a_brain()
    brain[:, :4] = 0
    painted = paint_regions(brain, label, np.full((3, 2), 0.9, np.float32))
    assert not painted[:, :4].any()


def test_regions_are_painted_within_the_tumour_and_mixed_at_its_edge():
    label, brain = regions_in_a_brain()
    means = np.array([[0, 0], [0.7, 0.3], [0.5, 0.9]], np.float32)
    painted = paint_regions(brain, label, means)
    near = ndimage.binary_dilation(label > 0, np.ones((3, 3, 3)), iterations=2)
    assert np.array_equal(painted[:, ~near], brain[:, ~near])
    np.testing.assert_allclose(painted[:, 11, 10, 9], means[2], atol=0.01)
    assert 0.45 < painted[0, 4, 10, 9] < 0.65
    assert np.array_equal(paint_regions(brain, 0 * label, means), brain)
    assert np.isnan(region_intensities(brain, brain, 0 * label)).all()


def test_a_region_that_a_tumour_lacks_is_as_in_the_patient_whose_brain_is_most_alike():
    means = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    contrasts = np.stack([planted(0), planted(1), 3 * planted(1), planted(0)]).astype(np.float32)
    gaps, volumes = means.copy(), np.full((4, 3), 5.0)
    gaps[0, 2] = np.nan
    # The last one has too little of it to tell.
    volumes[3, 2] = 0.2
    filled = fill_intensities(gaps, contrasts, volumes)
    np.testing.assert_array_equal(filled[0, 2], means[1, 2])
    np.testing.assert_array_equal(filled[3, 2], means[1, 2])
    assert np.array_equal(filled[1:3], means[1:3])
    assert np.array_equal(filled[:, :2], means[:, :2])
    # Where all have too little, their own count.
    np.testing.assert_array_equal(fill_intensities(means, contrasts, 0 * volumes), means)
    gaps[:, 0] = np.nan
    of_all = np.nanmean(gaps.reshape(-1, 2), 0)
    filled = fill_intensities(gaps, contrasts, volumes)
    np.testing.assert_allclose(filled[:, 0], [of_all] * 4, rtol=1e-6)
    assert not fill_intensities(np.full_like(means, np.nan), contrasts, volumes).any()


def test_volumes_of_regions_follow_from_their_shares():
    label = np.zeros(GRID.shape, np.uint8)
    label[4:14, 5:15, 3:12], label[6:12, 7:13, 5:10], label[8:10, 9:11, 6:9] = 2, 3, 1
    table = pd.DataFrame([tumour_attributes(x, GRID.affine) for x in (label, 2 * (label > 0))])
    expected = [(label == value).sum() * GRID.voxel_ml for value in (1, 2, 3)]
    whole = (label > 0).sum() * GRID.voxel_ml
    np.testing.assert_allclose(region_volumes(table), [expected, [whole] * 3])
