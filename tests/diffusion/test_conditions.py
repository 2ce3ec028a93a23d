"""Conditions: scaling from training patients alone, maps in the right place."""

import numpy as np
import pytest
import torch

from tests.models import random_attributes
from workflow_scripts.common.attributes import AXES, CONDITIONS
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion import settings
from workflow_scripts.diffusion.conditions import (
    VECTOR,
    Scaling,
    draw_maps,
    ellipsoid_of,
    forget_shares,
    latent_points,
)

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))


def test_conditions_are_standardised_by_the_training_patients():
    table = random_attributes(50)
    scaling = Scaling.fit(table)
    vectors = scaling.vectors(table)[:, :9]
    assert torch.allclose(vectors.mean(0), torch.zeros(9), atol=1e-5)
    assert torch.allclose(vectors.std(0, correction=0), torch.ones(9), atol=1e-5)
    again = Scaling(**scaling.to_dict())
    assert torch.equal(
        again.vectors(random_attributes(3, 1)), scaling.vectors(random_attributes(3, 1))
    )


def test_a_constant_condition_is_not_divided_by_nothing():
    table = random_attributes()
    table["box_x_mm"] = 20.0
    assert torch.isfinite(Scaling.fit(table).vectors(table)).all()


def test_the_ellipsoid_has_the_requested_volume_and_place():
    table = random_attributes(1)
    table["volume_ml"], table[[f"box_{a}_mm" for a in AXES]] = 60.0, [60.0, 40.0, 50.0]
    table[[f"centroid_{a}_mm" for a in AXES]] = [10.0, -30.0, 20.0]
    points = latent_points(GRID, 1)
    soft = draw_maps(ellipsoid_of(table), torch.tensor([True]), points)[0, 6]
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
    ellipsoids, points = ellipsoid_of(random_attributes(2)), latent_points(GRID, 4)
    maps = draw_maps(ellipsoids, torch.tensor([True, False]), points)
    assert maps[0, 3:].abs().sum() > 0
    assert maps[1, 3:].abs().sum() == 0
    assert torch.equal(maps[0, :3], maps[1, :3])


def test_a_share_that_nobody_knows_is_told_from_one_that_is_nothing():
    table = random_attributes(3)
    table["core_share"], table["enhancing_share"] = [0.25, 0.0, np.nan], [np.nan, 1.0, np.nan]
    vectors = Scaling.fit(table).vectors(table)
    assert vectors.shape == (3, VECTOR)
    assert vectors[:, 9:13].tolist() == [[-0.5, 1, 0, 0], [-1, 1, 1, 1], [0, 0, 0, 0]]
    without = Scaling.fit(table).vectors(table[list(CONDITIONS)])
    assert without[:, 9:13].abs().sum() == 0
    assert torch.equal(without[:, :9], vectors[:, :9])


def test_forgotten_shares_are_unknown_and_all_else_is_kept():
    table = random_attributes(2)
    table["core_share"], table["enhancing_share"] = 0.5, 0.25
    vectors = Scaling.fit(table).vectors(table)
    found = forget_shares(vectors, torch.tensor([[True, True], [False, False]]))
    assert torch.equal(found[1], vectors[1])
    assert torch.equal(found[0, :9], vectors[0, :9])
    assert found[0, 9:13].abs().sum() == 0
    assert found[0, 13] == 1
    one = forget_shares(vectors, torch.tensor([[True, False], [False, True]]))
    assert one[:, 9:13].tolist() == [[0, 0, -0.5, 1], [0, 1, 0, 0]]


def test_a_model_folder_has_a_scale_for_each_condition():
    assert len(CONDITIONS) == settings.CONDITIONS


def test_phantoms_of_a_prior_are_told_from_patients():
    table = random_attributes(3)
    patients, phantoms = (Scaling.fit(table, side).vectors(table) for side in (1, 0))
    assert patients[:, -1].tolist() == [1] * 3
    assert phantoms[:, -1].tolist() == [0] * 3
    assert torch.equal(patients[:, :-1], phantoms[:, :-1])
