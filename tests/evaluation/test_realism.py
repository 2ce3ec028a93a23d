"""Each measure of realism catches the failure that is planted for it, and passes clean patients."""

import functools

import numpy as np
import pytest
import torch
from scipy import ndimage

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.common.prior import EMBEDDED, PRIORS, fitting_autoencoder
from workflow_scripts.evaluation import intervals
from workflow_scripts.evaluation.features import (
    autoencoder_features,
    load_judge,
    principal_components,
)
from workflow_scripts.evaluation.image_measures import (
    bright_in_one_piece,
    has_holes,
    is_torn,
    template_tissues,
)
from workflow_scripts.evaluation.intervals import (
    auc_interval,
    distance_interval,
    ratio_interval,
    share_interval,
)
from workflow_scripts.evaluation.quality import (
    brain_rows,
    fault_rows,
    feature_rows,
    intensity_rows,
    two_sample_rows,
)
from workflow_scripts.evaluation.two_sample import Crops, crop_patients, draw_folds, separate

GRID = Grid((32, 32, 24), (6.0, 6.0, 6.0))
MODALITIES = ["flair", "t1ce"]
COUNT = 6
CONFIDENCE = 0.95
MM = GRID.to_mm(np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), -1))


def make_brain(rng):
    """Image, label and brain mask of a textured, nearly symmetric brain with a bright ball."""
    size = np.array([66, 82, 66]) * rng.uniform(0.98, 1.02)
    bumps = ndimage.gaussian_filter(rng.normal(size=GRID.shape), 0.7)
    brain = ((MM - [0, -18, 8]) ** 2 / size**2).sum(-1) + 0.2 * bumps < 1
    texture = ndimage.gaussian_filter(rng.normal(size=(2, *GRID.shape)), (0, 1, 1, 1))
    texture = 0.1 * (texture + texture[:, ::-1]) / texture.std()
    image = 0.4 + 0.25 * template_tissues(GRID)[1] + texture
    image += rng.normal(0, 0.03, image.shape)
    side = rng.choice([-1, 1])
    label = np.linalg.norm(MM - [side * 30, -18 + rng.uniform(-9, 9), 20], axis=-1) < 16
    image[0, label] += 0.25
    return image.clip(0.25, 1) * brain, label.astype(np.uint8), brain


def unchanged(image, label, rng):
    return image, label


def blurred(image, label, rng):
    return ndimage.gaussian_filter(image, (0, 0.7, 0.7, 0.7)), label


def noisy(image, label, rng):
    return image + rng.normal(0, 0.08, image.shape) * (image > 0), label


def grainy(image, label, rng):
    """With white matter that is less even than it should be."""
    return image + rng.normal(0, 0.08, image.shape) * template_tissues(GRID)[1], label


def striped(image, label, rng):
    return image * (1 + 0.2 * (np.arange(GRID.shape[2]) % 2)), label


def torn(image, label, rng):
    image = image.copy()
    image[:, :, 12:14] = 0
    return image, label


def frayed(image, label, rng):
    return image * ~((image[0] > 0) & (rng.random(GRID.shape) < 0.15)), label


def washed_out(image, label, rng):
    return image - 0.2 * template_tissues(GRID)[1] * (image > 0), label


def alike(image, label, rng):
    """With one contrast of grey and white matter in all patients."""
    return image + 0.1 * template_tissues(GRID)[1] * (image > 0), label


def varied(image, label, rng):
    """With a contrast of each patient's own."""
    return image + rng.uniform(-0.2, 0.4) * template_tissues(GRID)[1] * (image > 0), label


def one_sided(image, label, rng):
    blotch = ndimage.gaussian_filter(rng.normal(size=GRID.shape), 2)
    return image + 0.15 * blotch / blotch.std() * (image > 0), label


def darker(image, label, rng):
    return image - 0.12 * (image > 0), label


def swollen(image, label, rng):
    """With a large tumour."""
    centre = MM[label > 0].mean(0)
    large = (np.linalg.norm(MM - centre, axis=-1) < 34) & (image[0] > 0)
    image = image.copy()
    image[0, large & (label == 0)] += 0.25
    return image, large.astype(np.uint8)


def mottled(image, label, rng):
    """With a large tumour that has more texture than it should."""
    image, label = swollen(image, label, rng)
    texture = ndimage.gaussian_filter(rng.normal(size=image.shape), (0, 0.6, 0.6, 0.6))
    return image + 0.12 * texture / texture.std() * (label > 0), label


def speckled(image, label, rng):
    """With a tumour whose voxels are those of its bright rim, in any order."""
    image, label = rimmed(image, label, rng)
    for volume in image:
        volume[label > 0] = rng.permutation(volume[label > 0])
    return image, label


def rimmed(image, label, rng):
    """With a large tumour that has a bright rim."""
    image, label = swollen(image, label, rng)
    rim = (label > 0) & ~ndimage.binary_erosion(label > 0)
    return image + 0.3 * rim, label


def pierced(image, label, rng):
    label = label.copy()
    label[tuple(np.argwhere(ndimage.binary_erosion(label))[0])] = 0
    return image, label


def all_tumour(image, label, rng):
    return image, (image[0] > 0).astype(np.uint8)


@pytest.fixture(autouse=True)
def few_resamplings(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLINGS", 30)


@pytest.fixture(scope="module")
def groups_with(tmp_path_factory):
    """The function that makes groups of patients, where a change was made to synthetic ones."""
    root = tmp_path_factory.mktemp("realism")

    def make(name, seed, change=unchanged):
        folders = []
        for k in range(COUNT):
            rng = np.random.default_rng((seed, k))
            image, label, brain = make_brain(rng)
            image, label = change(image, label, rng)
            folders.append(root / name / f"{name}-{k}")
            save_patient(folders[-1], image.clip(0, 1), label, brain, GRID.affine)
        return folders

    made = {}

    def groups(change, real=unchanged):
        for name, seed, how in (
            ("train", 1, real),
            ("held-out", 2, real),
            ("synthetic", 3, change),
        ):
            if (name, how) not in made:
                made[name, how] = make(f"{name}-{how.__name__}", seed, how)
        train, held_out = made["train", real], made["held-out", real]
        real_ones = {"train": train, "held_out": held_out}
        same = {"reconstructed_train": train, "reconstructed": held_out}
        return {**real_ones, **same, "synthetic": made["synthetic", change]}

    return groups


def synthetic(rows):
    """Rows of synthetic patients against real ones by measure and modality."""
    return {
        (row.measure, row.modality): row
        for row in rows
        if row.generator == "synthetic" and row.reference == "real"
    }


# How far measures of few voxels may be off.
LOOSE = {"bright_in_one_piece": 0.15, "white_matter_grain": 0.15, "white_matter_stripes": 0.3}
PLANTED = {
    "slice_ratio": [(striped, 1)],
    "outline_roughness": [(frayed, 1)],
    "brain_ml": [(torn, -1)],
    "fine_detail": [(blurred, -1), (noisy, 1)],
    "white_matter_grain": [(grainy, 1), (noisy, 1)],
    "white_matter_stripes": [(striped, 1)],
    "tumour_detail": [(mottled, 1), (blurred, -1)],
    "bright_in_one_piece": [(speckled, -1)],
    "grey_white_contrast": [(washed_out, -1)],
    "left_right_correlation": [(one_sided, -1), (noisy, -1)],
}


@pytest.mark.parametrize(
    "measure, change, direction",
    [(measure, *case) for measure, cases in PLANTED.items() for case in cases],
)
def test_a_planted_failure_moves_its_ratio_from_one(measure, change, direction, groups_with):
    rows = synthetic(brain_rows(groups_with(change), GRID, MODALITIES, CONFIDENCE))
    found = [row for (name, _), row in rows.items() if name == measure]
    assert found
    for row in found:
        assert row.low > 1 if direction > 0 else row.high < 1
        assert row.low < row.value < row.high
        assert abs(row.floor - 1) < abs(row.value - 1)


def test_clean_patients_have_ratios_of_one(groups_with):
    rows = synthetic(brain_rows(groups_with(unchanged), GRID, MODALITIES, CONFIDENCE))
    # Patients without a spread have none to compare (``test_one_contrast_of_all_is_seen``).
    rows = {key: row for key, row in rows.items() if row.measure != "contrast_spread"}
    assert {name for name, _ in rows} == set(PLANTED)
    for row in rows.values():
        # Tumours of 80 voxels have 20 bright ones, and deep white matter has some 100 voxels.
        within = LOOSE.get(row.measure, 0.08)
        assert row.value == pytest.approx(1, abs=within)
        assert row.low - 0.02 < 1 < row.high + 0.02


def test_one_contrast_of_all_is_seen(groups_with):
    for change, one in ((alike, False), (varied, True)):
        rows = synthetic(brain_rows(groups_with(change, real=varied), GRID, MODALITIES, CONFIDENCE))
        for modality in MODALITIES:
            row = rows["contrast_spread", modality]
            assert row.low < row.value < row.high
            assert (row.low < 1 < row.high) == one
        # The mean contrast is no other.
        assert rows["grey_white_contrast", "flair"].value == pytest.approx(1, abs=0.35)


def test_patients_without_a_place_far_from_the_tumour_have_no_detail(groups_with):
    rows = synthetic(brain_rows(groups_with(all_tumour), GRID, MODALITIES, CONFIDENCE))
    whole = ["slice_ratio", "outline_roughness", "brain_ml"]
    tumour = ["tumour_detail"] * 2 + ["bright_in_one_piece"] * 2
    assert [name for name, _ in rows] == [*whole, *tumour]


@pytest.mark.parametrize(
    "change, measure", [(pierced, "label_with_holes"), (torn, "torn_brain"), (unchanged, "none")]
)
def test_faults_are_counted(change, measure, groups_with):
    groups = groups_with(change)
    pieces = [is_torn(Patient(folder), GRID) for folder in groups["synthetic"]]
    holed = [has_holes(Patient(folder)) for folder in groups["synthetic"]]
    rows = list(fault_rows(groups, GRID, CONFIDENCE, holed, pieces))
    assert [row.measure for row in rows] == ["label_with_holes", "label_with_holes", "torn_brain"]
    for row in rows:
        expected = row.generator == "synthetic" and row.measure == measure
        assert row.value == expected
        assert row.floor == 0
        assert row.low < row.high  # six patients leave a share uncertain


@pytest.fixture(scope="module")
def judge():
    return load_judge(MODALITIES, "whole_tumour", GRID, 0)


@pytest.fixture(scope="module")
def extract(judge):
    """The function that gives a patient's features, once."""
    return functools.cache(lambda folder: autoencoder_features(folder, judge))


@pytest.mark.parametrize("change", [blurred, unchanged])
def test_distances_in_features_grow_with_a_planted_failure(change, groups_with, extract):
    rows = synthetic(feature_rows(groups_with(change), extract, 0, CONFIDENCE))
    assert {name for name, _ in rows} == {"frechet", "kernel"}
    for row in rows.values():
        assert row.low < row.value < row.high
        if change is unchanged:
            assert row.value < 1.5 * row.floor
        else:
            assert row.low > 1.5 * row.floor


@pytest.mark.parametrize("change", [darker, unchanged])
def test_distances_of_intensities_are_those_planted(change, groups_with):
    rows = synthetic(intensity_rows(groups_with(change), GRID, (2, 20), MODALITIES, 0, CONFIDENCE))
    assert len(rows) == 6
    for row in rows.values():
        if change is unchanged:
            assert row.value < 0.06
        else:
            assert row.value == pytest.approx(0.12, abs=0.06) and row.low > row.floor


def test_blurred_patients_are_told_apart(groups_with):
    rows = list(two_sample_rows(groups_with(blurred), ["flair"], 20, 1, 0, CONFIDENCE))
    found = {(row.generator, row.measure): row for row in rows}
    assert list(found) == [
        ("synthetic", "auc_reconstructed"),
        ("synthetic", "auc_real"),
        ("reconstructed", "auc_real"),
    ]
    row = found["synthetic", "auc_real"]
    assert row.value >= 0.95 and row.low > 0.5
    assert row.floor_low < row.floor < row.floor_high
    # Reconstructed patients are the held-out ones themselves here.
    assert found["reconstructed", "auc_real"].value == 0.5


def test_what_is_bright_in_a_tumour_is_one_piece_or_many():
    tumour = np.zeros((20, 20, 20), bool)
    tumour[4:16, 4:16, 4:16] = True
    rim = tumour & ~ndimage.binary_erosion(tumour)
    # The second modality has half of its bright voxels in either of two pieces.
    halves = tumour.copy()
    halves[7:13] = False
    image = np.stack([0.3 + 0.4 * rim, 0.3 + 0.4 * halves])
    rim_share, half_share = bright_in_one_piece(image, tumour)
    assert rim_share == 1
    assert half_share == pytest.approx(0.5)
    # Too few voxels to be broken up.
    few = np.zeros_like(tumour)
    few[4:8, 4:8, 4:7] = True
    assert np.isnan(bright_in_one_piece(image, few)).all()


def test_clean_patients_are_not_told_apart(groups_with):
    made = groups_with(unchanged)
    crops = crop_patients([*made["train"], *made["held_out"], *made["synthetic"]], 0)
    found = []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(3 * COUNT)
        sides = (
            Crops([crops.names[k] for k in part], crops.images[part])
            for part in (order[:COUNT], order[COUNT:])
        )
        found.append(separate(*sides, 0, 20, 1, seed, CONFIDENCE)[0])
    assert np.mean(found) == pytest.approx(0.5, abs=0.15)


def noise(rng, name, patients):
    crops = rng.normal(0.4, 0.1, (patients, 1, 8, 16, 16)).astype(np.float32)
    return Crops([f"{name}{k}" for k in range(patients)], crops)


def test_groups_of_a_kind_have_an_auc_of_one_half_on_average():
    rng = np.random.default_rng(0)
    length = {"steps": 3, "repeats": 1, "confidence": CONFIDENCE}
    found = [
        separate(noise(rng, "a", 9), noise(rng, "b", 4), 0, seed=seed, **length)[0]
        for seed in range(24)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.12)
    assert np.std(found) > 0.05


def test_patients_who_look_the_same_have_an_auc_of_one_half(groups_with):
    """Scores of different folds are not compared: their classifiers are not the same."""
    rng = np.random.default_rng(0)
    same = rng.random((1, 1, 8, 16, 16)).astype(np.float32)
    groups = [Crops([f"{name}{k}" for k in range(n)], same.repeat(n, 0)) for name, n in
              (("a", 7), ("b", 4))]  # fmt: skip
    assert separate(*groups, 0, 3, 2, 0, CONFIDENCE)[0] == 0.5


def test_the_same_seed_gives_the_same_auc_and_leaves_random_numbers_alone():
    groups = [noise(np.random.default_rng(k), name, 4) for k, name in enumerate("ab")]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    found = [separate(*groups, 0, 4, 1, seed, CONFIDENCE) for seed in (0, 0, 1)]
    assert torch.rand(1) == expected
    assert found[0] == found[1] != found[2]


def test_a_patient_has_one_fold_in_both_groups():
    names = [f"p{k}" for k in range(9)], [f"p{k}" for k in range(8, -1, -1)]
    first, second = draw_folds(names, 4, np.random.default_rng(0))
    assert (first == second[::-1]).all()
    assert set(np.bincount(first)) == {2, 3}
    apart = draw_folds((["a", "b"], ["c", "d", "e", "f"]), 2, np.random.default_rng(0))
    assert [np.bincount(number).tolist() for number in apart] == [[1, 1], [2, 2]]


def test_too_few_patients_have_no_auc():
    rng = np.random.default_rng(0)
    assert np.isnan(separate(noise(rng, "a", 1), noise(rng, "b", 4), 0, 3, 1, 0, 0.95)).all()


def test_crops_are_of_the_foreground_alone(groups_with, tmp_path):
    folder = groups_with(unchanged)["train"][0]
    image = Patient(folder).image()
    outside = ~Patient(folder).foreground()
    save_patient(tmp_path / "p", image + 0.05 * outside, outside * 0, outside, GRID.affine)
    found = crop_patients([folder, tmp_path / "p"], 0).images
    assert found.shape == (2, 2, 64, 32, 32)
    assert np.array_equal(found[0], found[1])


def test_the_judge_is_the_prior_where_it_fits_and_random_where_not(judge):
    grid = Grid((64, 64, 48), (3.0, 3.0, 3.0))
    prior = load_judge(MODALITIES, "whole_tumour", grid, 0)
    again = load_judge(MODALITIES, "whole_tumour", GRID, 0)
    other = load_judge(["t2"], "subregions", GRID, 0)
    assert prior.precision == judge.precision == "fp32"
    weights = [next(iter(j.model.encoder.parameters())) for j in (prior, judge, again, other)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert other.modalities == ["t2"] and other.model.classes == 4
    four = ["flair", "t1ce", "t1", "t2"]
    assert fitting_autoencoder(four, "subregions", grid) == PRIORS["embedded-brats"] / "autoencoder"
    assert fitting_autoencoder(MODALITIES, "whole_tumour", grid) == EMBEDDED / "autoencoder"
    assert fitting_autoencoder(four, "whole_tumour", grid) is None


@pytest.mark.parametrize("vectors, components", [(25, 2), (400, 20), (2000, 20), (4, 1)])
def test_fewer_components_than_vectors(vectors, components):
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(vectors, 20)) * np.arange(1, 21)
    found = principal_components(reference)(reference)
    assert found.shape == (vectors, components)
    assert np.linalg.matrix_rank(np.cov(found, rowvar=False).reshape(components, -1)) == components
    assert found.mean(0) == pytest.approx(np.zeros(components), abs=1e-9)


@pytest.mark.parametrize("paired", [False, True])
def test_intervals_of_ratios_hold_the_ratio_as_often_as_they_say(paired):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(600):
        shared = rng.normal(10, 2, 9)
        below = shared + rng.normal(0, 0.5, 9)
        above = 0.7 * (shared if paired else rng.normal(10, 2, 9)) + rng.normal(0, 0.5, 9)
        low, high = ratio_interval(above, below, paired, 0.95)
        held.append(low < 0.7 < high)
    assert 0.92 < np.mean(held) < 0.98


def test_intervals_of_an_auc_are_never_without_width():
    low, high = auc_interval(1.0, 24, 10, 0.95)
    assert high == 1 and 0.8 < low < 0.9
    assert auc_interval(0.0, 24, 10, 0.95) == pytest.approx((0, 1 - low))
    low, high = auc_interval(0.5, 10, 24, 0.95)
    assert low == pytest.approx(1 - high) and 0.28 < low < 0.33
    assert auc_interval(0.5, 100, 240, 0.95)[0] > low


def test_intervals_of_shares_are_wilsons():
    low, high = share_interval(np.array([True] * 2 + [False] * 8), 0.95)
    assert (low, high) == pytest.approx((0.0567, 0.5098), abs=1e-4)


def test_intervals_of_distances_are_around_the_value():
    low, high = distance_interval(2.0, lambda rng: np.exp(rng.normal(5, 0.1)), 0, 0.95)
    assert low * high == pytest.approx(4)
    assert np.log(high / 2) == pytest.approx(1.96 * 0.1, rel=0.3)
    assert np.isnan(distance_interval(0.0, lambda rng: 1.0, 0, 0.95)).all()
