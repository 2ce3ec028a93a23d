"""Attributes of shapes whose answers are known."""

import numpy as np
import pytest

from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.grid import Grid

GRID = Grid((48, 48, 40), (2.0, 2.0, 3.0))


def positions():
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij"), -1)
    return GRID.to_mm(voxels)


def ball(centre, radius):
    return ((positions() - centre) ** 2).sum(-1) <= radius**2


def test_ball():
    centre = np.array([4.0, -20.0, 8.0])
    found = tumour_attributes(ball(centre, 20.0), GRID.affine)
    assert found["volume_ml"] == pytest.approx(4 / 3 * np.pi * 8, rel=0.03)
    assert found["surface_mm2"] == pytest.approx(4 * np.pi * 400, rel=0.06)
    assert 0.93 < found["sphericity"] <= 1
    for axis, value in zip("xyz", centre, strict=True):
        assert found[f"centroid_{axis}_mm"] == pytest.approx(value, abs=0.3)
        assert found[f"box_{axis}_mm"] == pytest.approx(40, abs=4)
    assert found["n_components"] == 1


def test_box_is_less_round_than_a_ball():
    mask = np.zeros(GRID.shape, bool)
    mask[10:20, 10:15, 10:14] = True
    found = tumour_attributes(mask, GRID.affine)
    assert found["volume_ml"] == pytest.approx(10 * 5 * 4 * 12 / 1000)
    assert [found[f"box_{a}_mm"] for a in "xyz"] == [20, 10, 12]
    cuboid = 2 * (20 * 10 + 20 * 12 + 10 * 12)
    assert found["surface_mm2"] == pytest.approx(cuboid, rel=0.15)
    assert found["sphericity"] < 0.93


def test_two_components_and_relative_place():
    mask = ball(np.array([-20.0, -18.0, 5.0]), 8) | ball(np.array([20.0, -18.0, 5.0]), 8)
    found = tumour_attributes(mask, GRID.affine, np.ones(GRID.shape, bool))
    assert found["n_components"] == 2
    assert found["centroid_x_mm"] == pytest.approx(0, abs=0.2)
    assert found["centroid_x_rel"] == pytest.approx(0.5, abs=0.01)


def test_touching_the_edge_closes_the_surface():
    mask = np.zeros(GRID.shape, bool)
    mask[:6, :6, :6] = True
    inner = np.zeros(GRID.shape, bool)
    inner[10:16, 10:16, 10:16] = True
    edge, middle = (tumour_attributes(m, GRID.affine) for m in (mask, inner))
    assert edge["surface_mm2"] == pytest.approx(middle["surface_mm2"])


def test_empty():
    found = tumour_attributes(np.zeros(GRID.shape), GRID.affine)
    assert found["volume_ml"] == 0
    assert found["n_components"] == 0
    assert np.isnan(found["sphericity"])


def test_single_voxels_have_a_surface():
    label = np.zeros((12, 12, 12), np.uint8)
    label[4, 4, 4] = label[8, 8, 8] = 1
    found = tumour_attributes(label, np.diag([3.0, 3.0, 3.0, 1.0]))
    assert found["n_components"] == 2
    assert found["volume_ml"] == pytest.approx(0.054)
    assert 0 < found["surface_mm2"] < 2 * 6 * 9
