"""Implanted patients: the background stays, and the tumour is made where it was asked for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.models import small_model
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.files import UserError, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import nested_masks
from workflow_scripts.common.stored import pack_mask
from workflow_scripts.diffusion.conditions import Scaling
from workflow_scripts.preprocess.contrasts import TERMS
from workflow_scripts.synthesis.draw_implants import draw_implants
from workflow_scripts.synthesis.draw_requests import Variety
from workflow_scripts.synthesis.folder import COPIES
from workflow_scripts.synthesis.implants import backgrounds, room_for
from workflow_scripts.synthesis.request_table import CENTROID
from workflow_scripts.synthesis.requests import complete
from workflow_scripts.synthesis.sampling import synthesise
from workflow_scripts.synthesis.settings import ImplantSettings, SamplingSettings
from workflow_scripts.synthesis.training_copies import TrainingCopies, copy_names

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))
EMPTY = np.zeros((1, *GRID.shape), np.uint8)
HEALED, KEPT = (ImplantSettings(margin_mm=6, own_tumour=own) for own in ("healed", "kept"))
SETTINGS = SamplingSettings(
    sampling_steps=3, sigma_max=60, sigma_min=0.02, stochasticity=1, order=2, guidance=1.0,
    precision="fp32", batch=2, attempts=1, volume_tolerance=1.5, centroid_tolerance_mm=10,
)  # fmt: skip


def millimetres():
    return GRID.to_mm(np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), -1))


def ball(centre, radius_mm):
    return np.linalg.norm(millimetres() - centre, axis=-1) < radius_mm


@pytest.fixture(scope="module")
def model():
    return small_model(GRID)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Attributes and copies of two patients: tumours on the right and on the left."""
    folder, rng = tmp_path_factory.mktemp("training"), np.random.default_rng(0)
    brain = ball([0, -18, 8], 62)
    tumours = [ball([30, -20, 20], 14), ball([-30, -20, 20], 14)]
    rows = [
        {"patient_id": "p1", "copy": n, **tumour_attributes(t.astype(np.uint8), GRID.affine)}
        for n, t in enumerate(tumours)
    ]
    attributes = pd.DataFrame(rows)
    write_table(attributes, folder / "attributes.tsv")
    np.save(folder / "latents.npy", rng.normal(size=(2, 3, 8, 8, 24)).astype(np.float16))
    np.save(
        folder / "tissue.npy",
        np.stack([brain, brain, brain] * 2).reshape(2, 3, *GRID.shape).astype(np.uint8),
    )
    masks = [pack_mask(nested_masks(2 * t.astype(np.uint8))) for t in tumours]
    np.save(folder / "tumours.npy", np.stack(masks))
    intensities = rng.random((2, 3, 2), np.float32)
    intensities[0, 0] = intensities[:, 2] = np.nan
    np.save(folder / "intensities.npy", intensities)
    contrasts = rng.normal(size=(2, 3, TERMS, 2)).astype(np.float32)
    np.save(folder / "contrasts.npy", contrasts)
    files = [str(folder / "attributes.tsv")]
    files += [str(folder / f"{name}.npy") for name in COPIES if name != "attributes"]
    return attributes, TrainingCopies.load(*files), tumours


def asked(name="training:p1/0", x=-30.0):
    centre = dict(zip(CENTROID, (x, -20.0, 20.0), strict=True))
    row = pd.DataFrame([{"volume_ml": 11.0, **centre, "anatomy": name}])
    scaling = Scaling([3.0, 8.0, 0.7, 0, -18, 5, 30, 30, 30], [1.0] * 9, [1.2] * 3)
    return complete(row, scaling, 0).assign(background="kept")


def test_copies_are_called_by_patient_and_number(training):
    attributes, copies, tumours = training
    assert copy_names(attributes) == ["training:p1/0", "training:p1/1"]
    assert np.array_equal(copies.tumour("training:p1/1"), tumours[1])
    with pytest.raises(UserError, match="'training:p9/0' is none of the run's"):
        copies.row("training:p9/0")


def test_what_is_made_anew_is_the_requested_tumour_and_the_healed_one(model, training):
    _, copies, tumours = training
    kept, healed = (
        backgrounds(asked(), EMPTY, copies, GRID, settings) for settings in (KEPT, HEALED)
    )
    anew = torch.nn.functional.interpolate(kept.anew, GRID.shape)[0, 0].numpy()
    assert anew[ball([-30, -20, 20], 8)].min() > 0.5
    assert anew[ball([30, -20, 20], 14)].max() < 0.02
    assert not (kept.measured[0] & tumours[0]).any()
    also = torch.nn.functional.interpolate(healed.anew, GRID.shape)[0, 0].numpy()
    assert also[tumours[0]].min() == 1
    assert also[ball([0, 40, 20], 10)].max() < 0.02
    assert healed.measured[0][tumours[0]].all()


@pytest.mark.parametrize("settings", [KEPT, HEALED])
def test_latents_far_from_the_tumour_are_the_patient_s(model, training, settings):
    _, copies, _ = training
    made = replace(model, copies=copies, implant=settings)
    seen = []

    class Spy(type(model.codec)):
        def decode_uncut(self, latent):
            seen.append(latent)
            return super().decode_uncut(latent)

    made = replace(made, codec=Spy(**vars(model.codec)))
    synthesise(asked(), made, SETTINGS)
    own = copies.latents[0].astype(np.float32)
    anew = made.background(asked(), EMPTY).anew[0, 0].numpy()
    np.testing.assert_allclose(seen[0][:, anew < 1e-3], own[:, anew < 1e-3], atol=0.05)
    assert np.abs(seen[0] - own)[:, anew > 0.9].mean() > 0.3


def test_a_new_tumour_keeps_off_one_that_is_kept(training):
    _, copies, tumours = training
    kept, healed = (room_for(asked(), copies, GRID, settings)[0] for settings in (KEPT, HEALED))
    assert np.array_equal(healed, copies.brain("training:p1/0"))
    assert not (kept & tumours[0]).any()
    assert (healed & ~kept).sum() > 1.5 * tumours[0].sum()


def test_what_is_kept_of_a_patient_does_not_depend_on_its_company(training):
    _, copies, _ = training
    both = pd.concat([asked(), asked("training:p1/1", 30.0)])
    empty = np.zeros((2, *GRID.shape), np.uint8)
    together = backgrounds(both, empty, copies, GRID, HEALED)
    alone = backgrounds(asked("training:p1/1", 30.0), EMPTY, copies, GRID, HEALED)
    assert torch.equal(together.intensities[1:], alone.intensities)
    assert torch.isfinite(together.intensities).all()


@pytest.mark.parametrize("draws", [False, True])
def test_a_kept_tumour_is_rendered_where_tumours_are(training, monkeypatch, draws):
    """A denoiser that draws tumours from noise has never seen one rendered."""
    _, copies, tumours = training
    tissue = np.stack([255 * copies.brain("training:p1/0")] * 3).astype(np.uint8)
    model = replace(small_model(GRID, anatomy=tissue), copies=copies, implant=KEPT)
    seen, kind = [], type(model)
    monkeypatch.setattr(type(model.generator), "draws_labels", draws)
    monkeypatch.setattr(type(model.generator), "draw_labels", lambda *parts: EMPTY)
    rendered = kind.rendered
    monkeypatch.setattr(
        kind, "rendered", lambda self, *parts: seen.append(parts[1]) or rendered(self, *parts)
    )
    synthesise(asked(), model, SETTINGS)
    assert np.array_equal(seen[0][0] > 0, tumours[0] if draws else EMPTY[0] > 0)


def test_a_patient_that_is_made_as_a_whole_has_no_background(model, training):
    _, copies, _ = training
    made = replace(model, copies=copies, implant=HEALED)
    assert made.background(asked().drop(columns="background"), EMPTY) is None


@pytest.mark.parametrize("settings", [KEPT, HEALED])
def test_drawn_tumours_have_room_beside_one_that_is_kept(training, settings):
    attributes, copies, tumours = training
    drawn = draw_implants(attributes, copies, GRID, settings, 12, Variety(0.1, 12), seed=1)
    assert drawn["patient_id"].tolist() == [f"implanted-{k:04d}" for k in range(1, 13)]
    assert set(drawn["anatomy"]) == {"training:p1/0", "training:p1/1"}
    own = {"training:p1/0": tumours[0], "training:p1/1": tumours[1]}
    overlaps = [
        (own[row["anatomy"]] & ball(row[list(CENTROID)].to_numpy(float), 10)).any()
        for _, row in drawn.iterrows()
    ]
    assert any(overlaps) == (settings is HEALED)
