"""Anatomies: phantoms of nobody, one for each request."""

import numpy as np
import pandas as pd
import pytest
import yaml

from workflow_scripts.cohort.settings import PhantomSettings
from workflow_scripts.common.grid import Grid
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.synthesis.anatomies import PhantomAnatomies, no_anatomies

GRID = Grid((32, 32, 24), (6.0, 6.0, 6.0))


def source(**changes):
    with open("config.yaml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    fields = PhantomSettings.model_fields
    phantom = {k: v for k, v in config["cohort"]["phantom"].items() if k in fields}
    return PhantomAnatomies(
        ["flair", "t1ce"],
        GRID,
        PhantomSettings.model_validate(phantom | changes),
        PreprocessSettings.model_validate(config["preprocess"]),
    )


def requests(*seeds, volume_ml=30.0):
    place = {"centroid_x_mm": 30.0, "centroid_y_mm": -20.0, "centroid_z_mm": 20.0}
    return pd.DataFrame([{"seed": seed, "volume_ml": volume_ml, **place} for seed in seeds])


@pytest.fixture(scope="module")
def three():
    return source()(requests(1, 2, 3))


def test_each_seed_has_a_brain_of_its_own(three):
    assert three.shape == (3, 3, *GRID.shape)
    assert three.dtype == np.uint8
    inside = three.sum(1) > 0
    assert (three.sum(1)[inside] > 250).all()
    for one, other in ((0, 1), (1, 2)):
        white = three[[one, other], 1].reshape(2, -1).astype(float)
        assert 0.5 < np.corrcoef(white)[0, 1] < 0.95


def test_an_anatomy_does_not_depend_on_its_company(three):
    np.testing.assert_array_equal(source()(requests(2))[0], three[1])


def test_the_brain_makes_room_for_the_requested_tumour():
    """A large mass changes the anatomy around it, and hardly anything far away."""
    pushed = source(mass_effect=0.35)
    small, large = (pushed(requests(1, volume_ml=ml))[0].astype(float) for ml in (0.01, 100.0))
    changed = np.abs(small - large).sum(0)
    mm = GRID.to_mm(np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), -1))
    away = np.linalg.norm(mm - [30, -20, 20], axis=-1)
    brain = small.sum(0) > 0
    assert changed[brain & (away < 40)].mean() > 3 * changed[brain & (away > 80)].mean()


def test_a_denoiser_that_is_told_nothing_has_no_anatomy():
    assert no_anatomies(requests(1, 2)).shape == (2, 0)
