"""Requests and the patients made from them, with small untrained models."""

import numpy as np
import pandas as pd
import pytest
import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.model import SliceAutoencoder
from workflow_scripts.common.attributes import CONDITIONS, tumour_attributes
from workflow_scripts.common.files import UserError
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient
from workflow_scripts.diffusion.conditions import MAPS, Scaling, latent_points
from workflow_scripts.diffusion.generator import Bundle, Generator
from workflow_scripts.diffusion.latents import LatentSpace
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.process import Process
from workflow_scripts.synthesis.draw_requests import draw, sweep
from workflow_scripts.synthesis.requests import complete, reason_to_refuse
from workflow_scripts.synthesis.sampling import synthesise

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))


@pytest.fixture(scope="module")
def table(patients):
    rows = []
    for folder in patients:
        patient = Patient(folder)
        found = tumour_attributes(patient.label(), GRID.affine)
        rows.append({"patient_id": patient.patient_id, "copy": 0, **found})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    net = SliceAutoencoder(2, 2, 3, [8, 16], 1, 4, False, 2, True).eval().requires_grad_(False)
    denoiser = StackDenoiser(6, 2 * MAPS, len(CONDITIONS), [8, 16], 1, 4, [False, False])
    for weight in denoiser.parameters():
        if weight.ndim > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    space = LatentSpace((3, 8, 8, 24), 2)
    space.points.copy_(latent_points(GRID, 4))
    scaling = Scaling([3.0, 8.0, 0.7, 0, -18, 5, 30, 30, 30], [1.0] * 9, [1.2, 1.2, 1.2])
    bundle = Bundle(denoiser.eval(), space).requires_grad_(False)
    process = Process("velocity", "cosine", 1000, 0.002, 0.02)
    codec = Codec(net, ["flair", "t1ce"], "whole_tumour", GRID, 1.0)
    return codec, Generator(bundle, process, scaling, maps=True)


@pytest.fixture(scope="module")
def brain(patients):
    return Patient(patients[0]).brain()


def asked(**columns):
    base = {"volume_ml": [20.0], "centroid_x_mm": [20.0], "centroid_y_mm": [-20.0]}
    return pd.DataFrame({**base, "centroid_z_mm": [10.0], **columns})


def test_a_short_request_is_completed(table):
    scaling = Scaling.fit(table)
    done = complete(asked(), scaling, seed=7).iloc[0]
    assert done["seed"] == 7
    assert done["sphericity"] == pytest.approx(table["sphericity"].mean())
    side = np.pi ** (1 / 3) * (6 * 20000) ** (2 / 3) / done["surface_mm2"]
    assert side == pytest.approx(done["sphericity"])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"volume_ml": [-3.0]}, "volume_ml must be above 0"),
        ({"volume_ml": ["big"]}, "row 1: volume_ml is no number"),
        ({"sphericity": [1.4]}, "sphericity must lie between"),
        ({"patient_id": ["../../etc"]}, "letters, digits"),
    ],
)
def test_bad_requests_are_named(table, columns, words):
    with pytest.raises(UserError, match=words):
        complete(asked(**columns), Scaling.fit(table), 0)


def test_a_missing_column_is_named(table):
    with pytest.raises(UserError, match="centroid_y_mm"):
        complete(asked().drop(columns="centroid_y_mm"), Scaling.fit(table), 0)


def test_impossible_places_and_sizes_are_refused(table, brain):
    scaling = Scaling.fit(table)
    fine = complete(asked(), scaling, 0).iloc[0]
    outside = complete(asked(centroid_x_mm=[75.0]), scaling, 0).iloc[0]
    too_big = complete(asked(volume_ml=[900.0]), scaling, 0).iloc[0]
    assert reason_to_refuse(fine, brain, GRID) is None
    assert "lie in the brain by" in reason_to_refuse(outside, brain, GRID)
    assert "more than 25%" in reason_to_refuse(too_big, brain, GRID)


def test_drawn_requests_are_possible_seeded_and_near_the_training_patients(table, brain):
    scaling = Scaling.fit(table)
    first = draw(table, scaling, brain, GRID, 20, 0.2, seed=1)
    again = draw(table, scaling, brain, GRID, 20, 0.2, seed=1)
    assert first.equals(again)
    assert first["patient_id"].is_unique
    assert first["seed"].is_unique
    assert all(reason_to_refuse(row, brain, GRID) is None for _, row in first.iterrows())
    assert (
        first["volume_ml"]
        .between(0.4 * table["volume_ml"].min(), 2.5 * table["volume_ml"].max())
        .all()
    )


def test_a_sweep_changes_the_volume_alone(table, brain):
    found = sweep(table, Scaling.fit(table), brain, GRID, [5.0, 20.0, 900.0], seed=4)
    assert found["volume_ml"].tolist() == [5, 20]  # 900 mL find no room anywhere
    assert found["centroid_x_mm"].nunique() == found["seed"].nunique() == 1


def test_a_patient_does_not_depend_on_its_company(models, table, brain):
    codec, generator = models
    requests = draw(table, generator.scaling, brain, GRID, 3, 0.1, seed=1)
    options = {"steps": 3, "guidance": 1.5, "batch": 2, "attempts": 1}
    together = [s for _, s in synthesise(requests, codec, generator, **options)]
    alone = [s for _, s in synthesise(requests.iloc[[2]], codec, generator, **options)]
    assert np.allclose(together[2].image, alone[0].image, atol=1e-4)
    assert together[0].image.shape == (2, *GRID.shape)
    assert not np.allclose(together[0].image, together[1].image)


def test_the_condition_changes_the_sample(models, table, brain):
    codec, generator = models
    requests = draw(table, generator.scaling, brain, GRID, 2, 0.1, seed=1)
    requests["seed"] = 5
    options = {"steps": 3, "guidance": 1.0, "batch": 2, "attempts": 1}
    one, other = (s for _, s in synthesise(requests, codec, generator, **options))
    assert not np.allclose(one.image, other.image)
