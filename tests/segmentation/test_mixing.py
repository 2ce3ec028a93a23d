"""What the mixing augmentations do to known volumes."""

import numpy as np
import pytest
from scipy import ndimage

from workflow_scripts.segmentation.batches import SegmentationBatches
from workflow_scripts.segmentation.mixing import MIXINGS, Volume, mixing_of
from workflow_scripts.segmentation.mixing.carvemix import CarveMix
from workflow_scripts.segmentation.mixing.cutmix import CutMix
from workflow_scripts.segmentation.mixing.tumorcp import TumorCP, moved

SHAPE = (24, 20, 16)
SPACING = (3.0, 3.0, 3.0)


def ball(centre, radius):
    places = np.stack(np.indices(SHAPE), -1)
    return ((places - np.array(centre)) ** 2).sum(-1) < radius**2


def volume(value, tumour=None, label=2, brain=None):
    """A brain that has one ``value`` everywhere, but for a tumour of twice as much."""
    brain = np.ones(SHAPE, bool) if brain is None else brain
    tumour = np.zeros(SHAPE, bool) if tumour is None else tumour
    image = np.where(tumour, 2 * value, value) * brain
    return Volume(
        np.stack([image, 10 * image]).astype(np.float32),
        np.where(tumour, label, 0).astype(np.uint8),
        brain,
    )


def draws(mixing, target, donor, count=200):
    return [mixing(target, donor, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("name", MIXINGS)
def test_what_is_mixed_is_new_and_the_same_for_the_same_seed(name):
    target, donor = volume(1, ball((6, 6, 6), 4), 1), volume(3, ball((15, 12, 9), 5), 3)
    before = [a.copy() for a in (*target, *donor)]
    first, again = (
        MIXINGS[name](SPACING)(target, donor, np.random.default_rng(4)) for _ in range(2)
    )
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    for kept, now in zip(before, (*target, *donor), strict=True):
        np.testing.assert_array_equal(kept, now)
    assert first.image.shape == target.image.shape and first.image.dtype == np.float32
    assert first.label.dtype == np.uint8 and set(np.unique(first.label)) <= {0, 1, 3}
    made = [m.label for m in draws(MIXINGS[name](SPACING), target, donor, 8)]
    assert len({label.tobytes() for label in made}) > 4


def test_cutmix_pastes_a_box_with_all_that_is_in_it():
    target, donor = volume(1), volume(3, np.ones(SHAPE, bool), label=3)
    shares = []
    for mixed in draws(CutMix(SPACING), target, donor):
        where = mixed.label == 3
        np.testing.assert_array_equal(mixed.image[0], np.where(where, 6, 1))
        np.testing.assert_array_equal(mixed.image[1], np.where(where, 60, 10))
        corners = np.argwhere(where)
        if len(corners):
            assert len(corners) == np.prod(np.ptp(corners, axis=0) + 1)
        shares.append(where.mean())
    # A share U(0, 1) of the block, less what lies beyond its faces.
    assert 0.2 < np.mean(shares) < 0.4 and max(shares) > 0.7


def test_cutmix_takes_the_donors_brain_along():
    target, donor = volume(1, brain=ball((12, 10, 8), 6)), volume(3)
    for mixed in draws(CutMix(SPACING), target, donor, 20):
        np.testing.assert_array_equal(mixed.brain, mixed.image[0] > 0)


def test_carvemix_pastes_the_donors_tumour_shrunk_or_with_a_margin():
    tumour = ball((14, 10, 8), 5)
    target, donor = volume(1), volume(3, tumour, label=3)
    sizes = []
    for mixed in draws(CarveMix(SPACING), target, donor):
        pasted = mixed.image[0] != 1
        # The region has the tumour's shape: one is part of the other.
        assert not (pasted & ~tumour).any() or not (tumour & ~pasted).any()
        np.testing.assert_array_equal(mixed.label == 3, pasted & tumour)
        np.testing.assert_array_equal(mixed.image[0][pasted & ~tumour], 3)
        sizes.append(pasted.sum() / tumour.sum())
    below = np.mean(np.array(sizes) <= 1)
    assert 0.4 < below < 0.65 and min(sizes) > 0.05 and max(sizes) > 3


@pytest.mark.parametrize("mixing", [CarveMix(SPACING), TumorCP(SPACING)])
def test_a_donor_without_a_tumour_changes_nothing(mixing):
    target = volume(1, ball((6, 6, 6), 4))
    assert mixing(target, volume(3), np.random.default_rng(0)) is target


def test_tumorcp_pastes_a_tumour_of_about_its_size_into_the_brain():
    brain, tumour = ball((12, 10, 8), 8), ball((12, 10, 8), 4)
    target, donor = volume(1, brain=brain), volume(3, tumour, label=3)
    sizes, middles = [], []
    for mixed in draws(TumorCP(SPACING), target, donor):
        pasted = mixed.label == 3
        assert not (pasted & ~brain).any()
        np.testing.assert_array_equal(mixed.brain, brain)
        assert (mixed.image[0][pasted] > 2).all()  # brighter than the brain it lies in
        assert (mixed.image[0][brain & ~pasted] < 5.5).all()
        assert not mixed.image[:, ~brain].any()
        # Away from the seam the target is as it was.
        far = ~ndimage.binary_dilation(pasted, iterations=4)
        np.testing.assert_allclose(mixed.image[:, far], target.image[:, far], atol=0.02)
        sizes.append(pasted.sum() / tumour.sum())
        middles.append(np.argwhere(pasted).mean(0))
    assert min(sizes) > 0.75**3 * 0.6 and max(sizes) < 1.25**3 * 1.2
    assert np.std(middles, axis=0).min() > 1


def test_carvemix_and_tumorcp_work_in_millimetres():
    # A ball of voxels that are twice as long along z is not one in millimetres.
    spacing, tumour = (1.0, 1.0, 2.0), ball((12, 10, 8), 4)
    target, donor = volume(1), volume(3, tumour, label=3)
    for mixed in draws(CarveMix(spacing), target, donor, 40):
        pasted = mixed.image[0] != 1
        if pasted.sum() > 2 * tumour.sum():
            reach = np.ptp(np.argwhere(pasted), axis=0) - np.ptp(np.argwhere(tumour), axis=0)
            assert reach[2] < reach[0]
    lengths = [
        np.sort(np.ptp(np.argwhere(mixed.label == 3), axis=0) * spacing)
        for mixed in draws(TumorCP(spacing), volume(1), donor, 40)
    ]
    # Whatever the rotation, it stays the ellipsoid of 7 by 7 by 14 mm.
    assert max(length[2] for length in lengths) < 1.3 * 16
    assert min(length[0] for length in lengths) < 12


def test_tumorcp_keeps_the_targets_own_tumour():
    own = ball((5, 5, 5), 3)
    target, donor = volume(1, own, label=1), volume(3, ball((12, 10, 8), 4), label=3)
    for mixed in draws(TumorCP(SPACING), target, donor, 20):
        assert (mixed.label[own] > 0).all()


def test_moving_fills_with_nothing():
    array = np.arange(1, 9).reshape(2, 2, 2)
    np.testing.assert_array_equal(moved(array, np.array([1, 0, 0])), [[[0, 0]] * 2, array[0]])
    np.testing.assert_array_equal(moved(array, np.array([0, 0, -1]))[..., 0], array[..., 1])


@pytest.mark.parametrize("name", MIXINGS)
@pytest.mark.parametrize("patch", [None, (16, 16, 8)])
def test_an_arm_mixes_the_share_that_is_asked_for(name, patch, patients, settings):
    def samples(arm, mix):
        values = settings(mix=mix, patch=patch)
        made = SegmentationBatches(arm, patients[:3], [], "subregions", values, (3, 3, 3), 0)
        return [made.sample(number) for number in range(40)]

    def changed(mix):
        arms = samples("real+classical", 0.5), samples(f"real+classical+{name}", mix)
        pairs = zip(*arms, strict=True)
        return sum(not bool((one[0] == other[0]).all()) for one, other in pairs)

    assert changed(0) == 0
    assert 10 <= changed(0.5) <= 30
    assert changed(1) > 30


@pytest.mark.parametrize("name", MIXINGS)
def test_a_lone_patient_is_mixed_with_nobody(name, patients, settings):
    alone = patients[:1], [], "whole_tumour", settings(mix=1), (3, 3, 3), 0
    made, base = (
        SegmentationBatches(arm, *alone) for arm in (f"real+classical+{name}", "real+classical")
    )
    assert all((made.sample(3)[k] == base.sample(3)[k]).all() for k in range(2))


def test_an_arm_names_its_mixing():
    assert isinstance(mixing_of("real+classical+tumorcp", SPACING), TumorCP)
    assert mixing_of("real+classical", SPACING) is None
