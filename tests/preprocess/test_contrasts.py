"""A brain's contrasts: those that were planted are found, and drawn."""

import numpy as np
import pytest

from workflow_scripts.common.grid import Grid
from workflow_scripts.preprocess.contrasts import TERMS, draw_contrasts, fit_contrasts

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
