"""Requests and the patients made from them, with small untrained models."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.models import small_model
from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.attributes import CONDITIONS, tumour_attributes
from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import bright, hole_voxels, large_pieces
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.common.patients import Patient
from workflow_scripts.diffusion.conditions import Scaling
from workflow_scripts.synthesis.draw_requests import (
    LARGEST_CORE,
    Variety,
    choose_anatomies,
    draw,
    draw_fitting,
    like_training,
)
from workflow_scripts.synthesis.draw_sweep import Room, places, sizes
from workflow_scripts.synthesis.patient_batches import make_patients
from workflow_scripts.synthesis.request_table import CENTROID
from workflow_scripts.synthesis.requests import (
    SHIFT_MM,
    complete,
    ellipsoid_in_brain,
    has_room,
    load_brain,
    reason_to_refuse,
)
from workflow_scripts.synthesis.sampling import misfits, synthesise
from workflow_scripts.synthesis.settings import SamplingSettings
from workflow_scripts.synthesis.synthesise_patients import check_model

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
def model():
    return small_model(GRID)


@pytest.fixture(scope="module")
def brain(patients):
    return Patient(patients[0]).brain()


def asked(**columns):
    base = {"volume_ml": [20.0], "centroid_x_mm": [20.0], "centroid_y_mm": [-20.0]}
    return pd.DataFrame({**base, "centroid_z_mm": [10.0], **columns})


def test_a_short_request_is_completed(table):
    scaling = Scaling.fit(table)
    done = complete(asked(), scaling, seed=7).iloc[0]
    assert done["seed"] == 7_000_000
    assert done["sphericity"] == pytest.approx(table["sphericity"].mean())
    side = np.pi ** (1 / 3) * (6 * 20000) ** (2 / 3) / done["surface_mm2"]
    assert side == pytest.approx(done["sphericity"])


def test_runs_with_neighbouring_seeds_share_no_noise(table):
    scaling, many = Scaling.fit(table), pd.concat([asked()] * 300)
    first, second = (complete(many, scaling, seed)["seed"] for seed in (0, 1))
    assert not set(first) & set(second)


def test_an_empty_cell_of_the_box_is_completed(table):
    scaling = Scaling.fit(table)
    left_out, empty = (complete(asked(**c), scaling, 0) for c in ({}, {"box_x_mm": [np.nan]}))
    assert empty.equals(left_out)


def test_a_model_of_another_run_must_fit(model, tmp_path):
    check_model(model, ["flair", "t1ce"], "whole_tumour")
    with pytest.raises(UserError, match="it has flair, t1ce .* this run has t1ce, flair"):
        check_model(model, ["t1ce", "flair"], "whole_tumour")
    save_nifti(np.ones(GRID.shape, np.uint8), GRID.affine, tmp_path / "brain.nii.gz")
    assert load_brain(tmp_path / "brain.nii.gz", GRID).all()
    with pytest.raises(UserError, match="set grid to the model's"):
        load_brain(tmp_path / "brain.nii.gz", Grid(GRID.shape, (5.0, 5.0, 5.0)))


def test_a_completed_request_is_the_same_when_read_back(table, tmp_path):
    done = complete(asked(volume_ml=[100 / 3]), Scaling.fit(table), seed=7)
    write_table(done, tmp_path / "requests.tsv")
    read = read_table(tmp_path / "requests.tsv")
    assert read[list(CONDITIONS)].to_numpy().tolist() == done[list(CONDITIONS)].to_numpy().tolist()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"volume_ml": [-3.0]}, "volume_ml must be above 0"),
        ({"volume_ml": ["big"]}, "row 1: volume_ml is no number"),
        ({"sphericity": [1.4]}, "sphericity must lie between"),
        ({"patient_id": ["../../etc"]}, "letters, digits"),
        ({"box_x_mm": [-1.0]}, "box_x_mm must be above 0"),
        ({"box_x_mm": ["wide"]}, "row 1: box_x_mm is no number"),
        ({"seed": [-1]}, "seed must be a whole number"),
        ({"seed": [1.5]}, "seed must be a whole number"),
        ({"seed": [np.inf]}, "row 1: seed is no number"),
        ({"patient_id": ["é"]}, "letters, digits"),
        ({"spherecity": [0.7]}, "'spherecity' is unknown; is 'sphericity' meant"),
        ({"box_x": [20.0]}, "'box_x' is unknown; is 'box_x_mm' meant"),
        ({"core_share": [1.2]}, "core_share must lie between 0 and 1"),
        ({"core_share": [0.1], "enhancing_share": [0.9]}, "is a part of core_share"),
        ({"anatomy": ["/nowhere/1"]}, "anatomy '/nowhere/1' is not a folder"),
        ({"background": ["kept"]}, "'background' is used by the workflow only"),
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
    assert "of the tumour lies in the brain" in reason_to_refuse(outside, brain, GRID)
    assert "more than 25%" in reason_to_refuse(too_big, brain, GRID)


def test_a_tumour_that_the_brain_s_border_cuts_is_not_drawn(table, brain):
    scaling = Scaling.fit(table)
    whole, cut = (
        complete(asked(volume_ml=[60.0], centroid_x_mm=[x]), scaling, 0).iloc[0]
        for x in (0.0, 46.0)
    )
    assert all(reason_to_refuse(request, brain, GRID) is None for request in (whole, cut))
    assert has_room(whole, brain, GRID) and not has_room(cut, brain, GRID)
    # What is left of it lies nearer to the middle of the brain.
    assert ellipsoid_in_brain(cut, brain, GRID).mean(0)[0] < 46 - SHIFT_MM
    inside = len(ellipsoid_in_brain(whole, brain, GRID)) * GRID.voxel_ml
    assert inside == pytest.approx(60, rel=0.05)


def test_drawn_tumours_are_moved_until_they_fit(table, monkeypatch):
    monkeypatch.setattr("workflow_scripts.synthesis.draw_requests.DRAWS", 3)
    least = table["centroid_x_mm"].max()

    def drawn(fits, count):
        rng = np.random.default_rng(0)
        anatomies = ["training:p/0", "training:p/1"]
        return draw_fitting(table, anatomies, fits, count, Variety(0, 15), 0, rng)

    moved = drawn(lambda request: request["centroid_x_mm"] > least, 12)
    assert len(moved) == 12 and (moved["centroid_x_mm"] > least).all()
    assert set(moved["anatomy"]) == {"training:p/0", "training:p/1"}
    # Nothing else of a tumour is changed.
    for name in ("volume_ml", "box_y_mm"):
        assert np.isin(moved[name].round(2), table[name].round(2)).all()
    assert drawn(lambda request: False, 1) is None


def test_uniform_shares_do_not_depend_on_the_training_tumours(table):
    def shares_of(attributes, shares):
        rng, variety = np.random.default_rng(0), Variety(0.2, 15, shares)
        rows = [like_training(attributes, variety, rng) for _ in range(200)]
        return pd.DataFrame(rows)[["core_share", "enhancing_share"]]

    table = table.assign(core_share=0.4, enhancing_share=0.3)
    assert (shares_of(table, "training") == [0.4, 0.3]).all(axis=None)
    drawn = shares_of(table, "uniform")
    assert drawn["core_share"].between(0, LARGEST_CORE).all()
    part = drawn["enhancing_share"] / drawn["core_share"]
    assert part.between(0, 1).all()
    for values, high in ((drawn["core_share"], LARGEST_CORE), (part, 1)):
        assert values.quantile([0.1, 0.5, 0.9]).tolist() == pytest.approx(
            [0.1 * high, 0.5 * high, 0.9 * high], abs=0.1 * high
        )
    # A tumour without regions has no shares to request.
    plain = table.assign(core_share=np.nan, enhancing_share=np.nan)
    assert shares_of(plain, "uniform").isna().all(axis=None)


def test_large_tumours_do_not_become_rare_at_the_border(table, brain):
    drawn = draw(table, brain, GRID, 60, Variety(0, 25), seed=3)
    counts = drawn["volume_ml"].round(3).value_counts()
    largest = counts.get(round(table["volume_ml"].max(), 3), 0)
    # A quarter of the four tumours; fewer than half as many if their centroids decided.
    assert len(table) == 4 and largest >= 9


class Copies:
    """Training copies with a brain on one side, in turn left and right."""

    def __init__(self, brain, count=6):
        self.rows = {f"training:p/{k}": k for k in range(count)}
        left = np.arange(brain.shape[0])[:, None, None] < brain.shape[0] / 2
        self.sides = brain & left, brain & ~left

    def brain(self, name):
        return self.sides[self.rows[name] % 2]


def test_a_tumour_gets_the_anatomy_of_a_training_patient_with_room_for_it(table, brain):
    columns = {name: [value] * 4 for name, value in asked().iloc[0].items()}
    columns["centroid_x_mm"] = [-32.0, 32.0, -32.0, 32.0]
    requests = complete(pd.DataFrame(columns), Scaling.fit(table), 0)
    copies = Copies(brain)
    chosen = choose_anatomies(requests, copies, GRID, 0)
    assert [copies.rows[name] % 2 for name in chosen] == [0, 1, 0, 1]
    assert chosen == choose_anatomies(requests, copies, GRID, 0)
    # Across both halves there is room in neither.
    across = complete(asked(centroid_x_mm=[0.0]), Scaling.fit(table), 0)
    with pytest.raises(UserError, match="synthetic-0001: its tumour has room in no training"):
        choose_anatomies(across, copies, GRID, 0)


def test_drawn_requests_are_possible_seeded_and_near_the_training_patients(table, brain):
    first = draw(table, brain, GRID, 20, Variety(0.2, 2), seed=1)
    again = draw(table, brain, GRID, 20, Variety(0.2, 2), seed=1)
    assert first.equals(again)
    assert first["patient_id"].is_unique
    assert first["seed"].is_unique
    assert all(has_room(row, brain, GRID) for _, row in first.iterrows())
    assert (
        first["volume_ml"]
        .between(0.4 * table["volume_ml"].min(), 2.5 * table["volume_ml"].max())
        .all()
    )


@pytest.fixture
def room(table, brain) -> Room:
    return Room(Scaling.fit(table), brain, GRID)


def test_a_sweep_of_sizes_changes_the_volume_alone(table, room):
    found = sizes(table, room, [5.0, 20.0, 900.0], seed=4)
    assert found["volume_ml"].tolist() == [5, 20]  # 900 mL find no room anywhere
    assert found["centroid_x_mm"].nunique() == found["seed"].nunique() == 1
    nothing_fits = sizes(table, room, [900.0], seed=4)
    assert len(nothing_fits) == 0
    assert list(nothing_fits) == list(found)


def test_a_sweep_of_places_changes_the_place_alone(table, room):
    found = places(table, room, 5.0, 2, seed=4)
    assert found["patient_id"].tolist() == ["place-01", "place-02"]
    assert found["volume_ml"].tolist() == [5, 5]
    assert found["seed"].nunique() == found["box_x_mm"].nunique() == 1
    assert found["centroid_x_mm"].is_monotonic_increasing
    everywhere = places(table, room, 5.0, 100, seed=4)
    assert len(everywhere) == len(table)
    points = table[list(CENTROID)].to_numpy()
    farthest = np.linalg.norm(points - points[0], axis=1).max()
    gap = np.subtract(*found[list(CENTROID)].to_numpy())
    assert np.linalg.norm(gap) == pytest.approx(farthest)
    assert len(places(table, room, 900.0, 2, seed=4)) == 0
    assert len(places(table, room, 5.0, 0, seed=4)) == 0


SETTINGS = SamplingSettings(
    sampling_steps=3, sigma_max=60, sigma_min=0.02, stochasticity=1, order=2, guidance=1.5,
    precision="fp32", batch=2, attempts=1, volume_tolerance=1.5, centroid_tolerance_mm=10,
)  # fmt: skip


def test_a_patient_does_not_depend_on_its_company(model, table, brain):
    requests = draw(table, brain, GRID, 3, Variety(0.1, 1), seed=1)
    together = synthesise(requests, model, SETTINGS)
    alone = synthesise(requests.iloc[[2]], model, SETTINGS)
    assert np.allclose(together[2].image, alone[0].image, atol=1e-4)
    assert together[0].image.shape == (2, *GRID.shape)
    assert not np.allclose(together[0].image, together[1].image)


def test_the_condition_changes_the_sample(model, table, brain):
    requests = draw(table, brain, GRID, 2, Variety(0.1, 1), seed=1)
    requests["seed"] = 5
    one, other = synthesise(requests, model, SETTINGS)
    assert not np.allclose(one.image, other.image)


def test_the_misfit_is_one_at_either_tolerance():
    asked_for = pd.Series({"volume_ml": 20.0, **dict.fromkeys(CENTROID, 0.0)})

    def apart(**changes):
        whole = {"brain_pieces": 1, "hole_voxels": 0}
        return misfits(asked_for, dict(asked_for) | whole | changes, SETTINGS, 0.01)

    none = dict.fromkeys(("volume", "place", "torn", "holes"), 0.0)
    assert apart() == none
    assert apart(volume_ml=30.0) == pytest.approx(none | {"volume": 1})
    assert apart(centroid_x_mm=6.0, centroid_z_mm=-8.0) == none | {"place": 1}
    assert apart(brain_pieces=2) == none | {"torn": 2}
    # Of the tumour's 2,000 voxels forty, which are filled, and sixty.
    assert apart(hole_voxels=40) == none
    assert apart(hole_voxels=60) == pytest.approx(none | {"holes": 1.03})
    assert apart(volume_ml=0.0) == {"missing": np.inf}


def centred(count=1):
    """Requests for a ball of 12.75 mL in the middle of the grid."""
    places = dict(zip(CENTROID, GRID.to_mm(np.array([15.0, 15.0, 11.0])), strict=True))
    rows = pd.DataFrame([{"volume_ml": 12.75, **places}] * count)
    return complete(rows, Scaling([3.0, 8.0, 0.7, 0, -18, 5, 30, 30, 30], [1.0] * 9, [1.2] * 3), 0)


class Planted(Codec):
    """Decodes to a whole brain with the tumour asked for, or to one with a fault, in the order of
    ``faults``."""

    faults = ()

    def decode_uncut(self, latent):
        fault, *Planted.faults = Planted.faults
        voxels = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij"), -1)
        apart = np.linalg.norm((voxels - [15, 15, 11]) * GRID.spacing_mm, axis=-1)
        brain, tumour = apart < 50, apart < 15
        label = tumour.astype(np.uint8)
        if fault == "torn":
            brain[:, :, 15] = False
        if fault == "speck":
            brain[0, 0, :6] = True  # 0.9 mL
        if fault == "holes":
            label[14:17:2, 15, 11] = 0
        if fault == "pinhole":
            label[15, 15, 11] = 0
        if fault == "moved":
            label = np.roll(label, 3, axis=0)
        if fault == "missing":
            label[:] = 0
        noise = np.random.default_rng(0).uniform(0, 0.05, (2, *GRID.shape))
        return np.where(brain, 0.5, noise).astype(np.float32), label


def planted(model, *faults):
    Planted.faults = faults
    return replace(model, codec=Planted(**vars(model.codec)))


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("none", "met"), ("speck", "met"), ("torn", "torn"), ("holes", "holes"), ("moved", "place"),
     ("pinhole", "met")],
)  # fmt: skip
def test_a_torn_brain_and_a_label_with_holes_are_not_met(model, fault, outcome):
    sample = synthesise(centred(), planted(model, fault), SETTINGS)[0]
    assert sample.outcome == outcome
    assert sample.measured["brain_pieces"] == 1 + (fault == "torn")
    assert sample.measured["hole_voxels"] == {"holes": 2, "pinhole": 1}.get(fault, 0)
    # They are filled, and the volume is that of the filled label.
    assert hole_voxels(sample.label > 0) == 0
    assert sample.measured["volume_ml"] == pytest.approx((sample.label > 0).sum() * GRID.voxel_ml)
    # What is kept of a torn brain is one piece, which shows no more that it was torn.
    assert large_pieces(bright(sample.image), 1) == 1


@pytest.mark.parametrize(
    ("faults", "kept"),
    [
        (("torn", "none", "holes"), "met"),
        (("torn", "holes", "torn"), "holes"),
        (("missing", "torn", "torn"), "torn"),
    ],
)
def test_of_several_draws_a_whole_one_is_kept_and_the_first_is_recorded(
    model, tmp_path, faults, kept
):
    three = SETTINGS.model_copy(update={"attempts": 3})
    found = make_patients(centred(), planted(model, *faults), three, tmp_path).iloc[0]
    assert (found["first_outcome"], found["outcome"]) == (faults[0], kept)
    assert found["attempts"] == (2 if kept == "met" else 3)
    missing = faults[0] == "missing"
    assert (found["first_volume_ml"] == 0) == np.isnan(found["first_sphericity"]) == missing
    assert found["measured_volume_ml"] == pytest.approx(12.75, abs=0.31)
    assert found["first_brain_pieces"] == (1 if missing else 2)
    assert found["measured_brain_pieces"] == (2 if kept == "torn" else 1)
    folder = tmp_path / "patients" / found["patient_id"]
    record = json.loads(
        (folder / "request.json").read_text(), parse_constant=lambda name: pytest.fail(name)
    )
    assert (record["outcome"], record["first"]["outcome"]) == (kept, faults[0])
    assert record["measured"]["volume_ml"] == found["measured_volume_ml"]


def test_the_closest_draw_is_kept(model, table, brain):
    requests = draw(table, brain, GRID, 1, Variety(0.1, 1), seed=1)
    one, three = (
        synthesise(requests, model, SETTINGS.model_copy(update={"attempts": n}))[0] for n in (1, 3)
    )
    assert one.outcome != "met"  # an untrained model places no tumour
    assert three.attempts == 3
    assert three.misfit <= one.misfit


class Barren(Codec):
    """Decodes everything to patients without a tumour, or with a tumour of one voxel."""

    voxels = 0

    def decode_uncut(self, latent):
        image, label = super().decode_uncut(latent)
        image[:], label[:] = 0.5, 0
        label[16, 16, 12 : 12 + self.voxels] = 1
        return image, label


@pytest.mark.parametrize(("voxels", "outcome", "made"), [(0, "missing", 0), (1, "volume", 2)])
def test_what_the_generator_fails_to_make_is_told(
    model, table, brain, tmp_path, monkeypatch, voxels, outcome, made
):
    monkeypatch.setattr(Barren, "voxels", voxels)
    requests = draw(table, brain, GRID, 2, Variety(0.1, 1), seed=1)
    requests["volume_ml"] = 30.0
    barren = replace(model, codec=Barren(**vars(model.codec)))
    found = make_patients(requests, barren, SETTINGS, tmp_path)
    assert found["outcome"].tolist() == [outcome] * 2
    assert len(list((tmp_path / "patients").iterdir())) == made


def test_no_request_makes_no_patient(model, table, brain, tmp_path):
    requests = draw(table, brain, GRID, 1, Variety(0.1, 1), seed=1)
    some = make_patients(requests, model, SETTINGS, tmp_path / "some")
    none = make_patients(requests[:0], model, SETTINGS, tmp_path / "none")
    assert none.columns.tolist() == some.columns.tolist()
    assert len(none) == 0
    assert not list((tmp_path / "none" / "patients").iterdir())


def test_batches_made_before_a_kill_are_not_made_again(model, table, brain, tmp_path):
    requests = draw(table, brain, GRID, 4, Variety(0.1, 1), seed=1)
    whole = make_patients(requests, model, SETTINGS, tmp_path / "whole")
    make_patients(requests.iloc[:2], model, SETTINGS, tmp_path / "broken")
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "broken").rglob("*.npy")}
    resumed = make_patients(requests, model, SETTINGS, tmp_path / "broken")
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    assert resumed.equals(whole)
    names = sorted(f.relative_to(tmp_path / "whole") for f in (tmp_path / "whole").rglob("*.npy"))
    assert names
    for name in names:
        first, second = (np.load(tmp_path / part / name) for part in ("whole", "broken"))
        assert np.array_equal(first, second), name
