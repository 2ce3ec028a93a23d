"""Measures of generated patients whose answers are known."""

import numpy as np
import pytest
from scipy import ndimage

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.model import SliceAutoencoder
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.evaluation.distances import frechet_distance, kernel_distance
from workflow_scripts.evaluation.diversity import pair_similarity
from workflow_scripts.evaluation.features import autoencoder_features
from workflow_scripts.evaluation.intensities import REGIONS, intensity_distance, sampled
from workflow_scripts.evaluation.neighbours import nearest
from workflow_scripts.evaluation.quality import (
    SPREAD,
    brain_rows,
    fault_rows,
    feature_rows,
    intensity_rows,
    two_sample_rows,
    variety_rows,
)
from workflow_scripts.evaluation.whole_brains import outline_roughness, slice_ratio

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))
MODALITIES = ["flair", "t1ce"]


def test_frechet_distance_of_gaussians_is_the_formula():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (200_000, 3))
    b = rng.normal(0, 1, (200_000, 3)) * [2, 1, 1] + [0, 3, 0]
    assert frechet_distance(a, b) == pytest.approx(9 + (2 - 1) ** 2, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_grows_with_the_shift():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(300, 4))
    near, far = (rng.normal(shift, 1, (300, 4)) for shift in (0, 1))
    assert kernel_distance(near, reference) < 0.3 * kernel_distance(far, reference)
    assert kernel_distance(reference, reference) == pytest.approx(0, abs=1e-6)


def test_stripes_across_slices_raise_their_ratio():
    rng = np.random.default_rng(0)
    inside = np.ones((20, 20, 20), bool)
    smooth = rng.normal(size=(1, 20, 20, 20))
    assert slice_ratio(smooth, inside, (3, 3, 3)) == pytest.approx(1, abs=0.03)
    # A difference over twice the distance is half as steep.
    assert slice_ratio(smooth, inside, (3, 3, 6)) == pytest.approx(0.5, abs=0.03)
    striped = smooth + 2 * (np.arange(20) % 2)
    assert slice_ratio(striped, inside, (3, 3, 3)) > 1.5


def test_a_frayed_outline_is_rougher():
    voxels = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), -1) - 19.5
    ball = (voxels**2).sum(-1) < 15**2
    frayed = ball ^ ((np.random.default_rng(0).random(ball.shape) < 0.1) & ball)
    rough = [outline_roughness(mask, (3, 3, 3)) for mask in (ball, frayed)]
    assert rough[0] < 0.06
    assert rough[1] > rough[0] + 0.1


def test_the_nearest_is_found_also_when_mirrored(patients, tmp_path):
    mirrored = tmp_path / "mirrored"
    source = patients[1]
    volumes = [np.load(source / f"{name}.npy") for name in ("image", "label", "brain")]
    save_patient(
        mirrored,
        volumes[0].transpose(1, 2, 3, 0)[:, ::-1].astype(np.float32),
        *(v.transpose(1, 2, 0)[::-1] for v in volumes[1:]),
        GRID.affine,
    )
    found = nearest([mirrored], patients).iloc[0]
    assert found["patient_id"] == "mirrored"
    assert found["image_patient"] == found["mask_patient"] == source.name
    assert found["image_mirrored"] and found["mask_mirrored"]
    assert np.array_equal(Patient(source, mirrored=True).image(), Patient(mirrored).image())
    assert np.array_equal(Patient(source, mirrored=True).label(), Patient(mirrored).label())
    assert found["image_distance"] == pytest.approx(0, abs=1e-3)
    assert found["mask_distance"] == 0
    other = nearest([mirrored], [patients[0], *patients[2:]]).iloc[0]
    assert other["image_distance"] > 0.01
    assert other["mask_distance"] > 0.1
    assert not nearest([source], patients).iloc[0]["image_mirrored"]


@pytest.mark.parametrize("side", [72, 112, 130])
def test_a_mirror_image_is_found_on_grids_that_are_thinned_out(side, tmp_path):
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.random((1, side, 16, 16)), 2)
    label = np.zeros((side, 16, 16), np.uint8)
    label[5:14, 4:9, 4:9] = 1
    save_patient(tmp_path / "a", image, label, label, GRID.affine)
    save_patient(tmp_path / "b", image[:, ::-1], label[::-1], label[::-1], GRID.affine)
    found = nearest([tmp_path / "b"], [tmp_path / "a"]).iloc[0]
    assert found["image_mirrored"] and found["image_distance"] == 0
    assert found["mask_mirrored"] and found["mask_distance"] == 0


def groups(patients, synthetic):
    return {"train": patients[:2], "test": patients[2:], "reconstructed": patients[2:],
            "synthetic": synthetic}  # fmt: skip


def kinds(patients, synthetic):
    """All groups of a quality table."""
    made = groups(patients, synthetic)
    return {**made, "held_out": made.pop("test"), "reconstructed_train": made["train"]}


def test_a_generator_that_makes_one_patient_has_no_variety(patients):
    made = kinds(patients, [patients[0]] * 3)
    found = {row.generator: (row.value, row.floor) for row in variety_rows(made)}
    value, floor = found["synthetic"]
    assert value == pytest.approx(1, abs=1e-3)
    assert floor < 0.99
    assert found["reconstructed"] == (floor, floor)


def test_a_single_patient_has_no_pair(patients):
    assert np.isnan(pair_similarity(patients[:1]))


def test_the_same_patients_have_a_ratio_of_one(patients):
    rows = list(brain_rows(kinds(patients, patients[2:]), GRID, MODALITIES, 0.95))
    assert [row.measure for row in rows[:3]] == ["slice_ratio", "outline_roughness", "brain_ml"]
    assert {row.generator for row in rows} == {"reconstructed", "synthetic"}
    assert all(row.value == pytest.approx(1) for row in rows)
    # A spread has an interval of its own, paired or not.
    paired = [r for r in rows if r.generator == "reconstructed" and r.measure != SPREAD]
    assert all(row.low == pytest.approx(row.high) for row in paired)


def test_generators_without_patients_have_no_rows(patients):
    made, seeded = kinds(patients, []), (0, 0.95)
    rows = [
        *two_sample_rows(made, MODALITIES, 1, 1, *seeded),
        *brain_rows(made, GRID, MODALITIES, 0.95),
        *fault_rows(made, GRID, 0.95, [], []),
        *feature_rows(made, lambda f: Patient(f).image()[:, 12].reshape(2, -1).T, *seeded),
        *intensity_rows(made, GRID, (3, 15), MODALITIES, *seeded),
        *variety_rows(made),
    ]
    assert {row.generator for row in rows} == {"reconstructed"}


def test_too_few_vectors_have_no_distance():
    for distance in (frechet_distance, kernel_distance):
        assert np.isnan(distance(np.zeros((1, 3)), np.zeros((5, 3))))


def test_features_lie_where_the_brain_is(patients):
    codec = Codec(SliceAutoencoder(2, 2, 4, [8, 16], 1, 8, False, 1, True), ["flair", "t1ce"],
                  "whole_tumour", GRID, 1.0)  # fmt: skip
    vectors = autoencoder_features(patients[0], codec)
    assert vectors.shape[1] == 16
    assert 10 < len(vectors) <= 200


def test_intensities_apart_by_so_much_are_that_far_apart(patients):
    found = [sampled(folder, GRID, (3, 15)) for folder in patients]
    brighter = [{name: values + 0.1 for name, values in one.items()} for one in found]
    for region in REGIONS:
        for modality in range(2):
            distance = intensity_distance(brighter, found, region, modality)
            assert distance == pytest.approx(0.1, abs=1e-4)
    assert np.isnan(intensity_distance([{}], found, "tumour", 0))
