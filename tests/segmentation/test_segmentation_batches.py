"""Arms see their own patients, equally often; batches follow from the step."""

import numpy as np
import pytest
import torch

from workflow_scripts.common.masks import dice
from workflow_scripts.common.patients import Patient
from workflow_scripts.segmentation.batches import SegmentationBatches
from workflow_scripts.segmentation.blocks import (
    masks_to_classes,
    read_block,
    reference_masks,
    region_masks,
    whole,
)
from workflow_scripts.segmentation.classical import ClassicalAugmentation
from workflow_scripts.segmentation.model import SegmentationNetwork

ARMS = (
    "real",
    "real+classical",
    "real+synthetic",
    "real+classical+synthetic",
    "real+classical+phantoms",
    "real+classical+gan3d",
    "real+classical+ldm3d",
)


def batches(arm, patients, settings, labels="whole_tumour", seed=0, **changes):
    return SegmentationBatches(
        arm, patients[:3], patients[3:], labels, settings(**changes), (3, 3, 3), seed
    )


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_sees_only_its_own_patients(arm, patients, settings):
    made = batches(arm, patients, settings)
    seen = {made.patient(sample).folder for sample in range(60)}
    added = {"synthetic", "phantoms", "gan3d", "ldm3d"} & set(arm.split("+"))
    assert seen == set(patients if added else patients[:3])


def test_synthetic_patients_come_before_all_real_ones(patients, settings):
    made = batches(
        "real+classical+synthetic_first", patients, settings, first=0.25, steps=40, batch=2
    )
    synthetic = [made.patient(sample).folder in patients[3:] for sample in range(80)]
    assert synthetic == [True] * 20 + [False] * 60
    seen = [made.patient(sample).patient_id for sample in range(20, 50)]
    assert all(seen.count(f"p{k}") == 10 for k in range(3))


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.3, 1.0])
def test_the_share_of_synthetic_samples_is_exact(fraction, patients, settings):
    made = batches("real+synthetic", patients, settings, synthetic_fraction=fraction)
    synthetic = [made.patient(sample).folder in patients[3:] for sample in range(100)]
    assert sum(synthetic) == round(100 * fraction)


def test_each_patient_comes_equally_often(patients, settings):
    made = batches("real", patients, settings)
    seen = [made.patient(sample).patient_id for sample in range(30)]
    assert all(seen.count(f"p{k}") == 10 for k in range(3))


def test_an_arm_without_its_synthetic_patients_learns_from_the_real_ones(patients, settings):
    made = SegmentationBatches(
        "real+synthetic", patients[:3], [], "whole_tumour", settings(), (3, 3, 3), 0
    )
    assert {made.patient(sample).folder for sample in range(12)} == set(patients[:3])


@pytest.mark.parametrize("patch", [None, (16, 16, 8)])
@pytest.mark.parametrize("arm", ["real", "real+classical"])
@pytest.mark.parametrize("labels", ["whole_tumour", "subregions"])
def test_batches_follow_from_seed_and_step(patch, arm, labels, patients, settings):
    first, again = (batches(arm, patients, settings, labels, patch=patch) for _ in range(2))
    for step in (7, 2):
        image, masks = first(step)
        same_image, same_masks = again(step)
        assert torch.equal(image, same_image) and torch.equal(masks, same_masks)
        assert image.shape == (2, 2, *(patch or (32, 32, 16)))
        assert masks.shape == (2, 1 if labels == "whole_tumour" else 3, *image.shape[2:])
        assert torch.isfinite(image).all() and set(masks.unique().tolist()) <= {0.0, 1.0}
        if labels == "subregions":  # each region lies within the one before
            assert (masks[:, 1:] <= masks[:, :-1]).all()
    assert not torch.equal(first(7)[0], first(2)[0])
    assert not torch.equal(first(7)[0], batches(arm, patients, settings, labels, 1)(7)[0])


def test_patches_lie_on_the_tumour(patients, settings):
    made = batches("real", patients, settings, patch=(16, 16, 8), foreground=1.0)
    assert all(made(step)[1].sum((1, 2, 3, 4)).min() > 0 for step in range(6))


def test_a_block_beyond_the_volume_is_background(patients):
    patient = Patient(patients[0])
    image, label, brain = read_block(patient, np.array([-2, 5, 12]), (10, 8, 8))
    inside = patient.label()[:8, 5:13, 12:]
    assert image.shape == (2, 10, 8, 8)
    assert (label[2:, :, :4] == inside).all()
    assert not label[:2].any() and not label[:, :, 4:].any() and not brain[:, :, 4:].any()


def test_images_are_standardised_in_the_brain(patients):
    image, _, brain = whole(Patient(patients[1]))
    assert np.abs(image[:, brain].mean(1)).max() < 1e-3
    assert np.abs(image[:, brain].std(1) - 1).max() < 1e-3
    assert not image[:, ~brain].any()


def test_regions_and_classes_go_back_and_forth():
    classes = np.random.default_rng(0).integers(0, 4, (8, 8, 8)).astype(np.uint8)
    assert (masks_to_classes(region_masks(classes, "subregions"), "subregions") == classes).all()
    whole_tumour = reference_masks(classes, "whole_tumour")
    assert (masks_to_classes(whole_tumour, "whole_tumour") == (classes > 0)).all()


def certain(settings, **changes):
    never = dict.fromkeys(
        ("spatial", "mirror", "noise", "blur", "brightness", "contrast", "low_resolution", "gamma"),
        0.0,
    )
    return settings().classical.model_copy(update={**never, **changes})


def sample(patients):
    image, label, brain = (torch.from_numpy(a) for a in whole(Patient(patients[0])))
    return image, label, brain


def test_nothing_happens_at_probability_0(patients, settings):
    image, label, brain = sample(patients)
    same, same_label = ClassicalAugmentation(certain(settings), (3, 3, 3))(
        image, label, brain, label.shape, [1]
    )
    assert torch.equal(torch.as_tensor(same), image) and torch.equal(same_label, label)


def test_mirroring_moves_image_and_label_together(patients, settings):
    image, label, brain = sample(patients)
    mirror = ClassicalAugmentation(certain(settings, mirror=1.0), (3, 3, 3))
    image_m, label_m = mirror(image, label, brain, label.shape, [1])
    assert torch.equal(image_m, image.flip((1, 2, 3))) and torch.equal(
        label_m, label.flip((0, 1, 2))
    )


def test_magnification_magnifies_the_tumour(patients, settings):
    image, label, brain = sample(patients)
    zoom = ClassicalAugmentation(
        certain(settings, spatial=1.0, scale=(1.25, 1.25), rotation_deg=0.0), (3, 3, 3)
    )
    moved, larger = zoom(image, label, brain, label.shape, [1])
    assert int((larger > 0).sum()) == pytest.approx(1.25**3 * int((label > 0).sum()), rel=0.1)
    # The image moved with its label: tumours are bright.
    assert moved[0][larger > 0].mean() > 1.0


def test_a_turned_ball_is_a_ball_in_millimetres_whatever_the_voxels(settings):
    spacing = np.array([1.0, 1.0, 3.0])
    voxels = np.stack(np.meshgrid(*map(np.arange, (64, 64, 22)), indexing="ij"), -1)
    ball = np.linalg.norm((voxels - np.array([31.5, 31.5, 10.5])) * spacing, axis=-1) < 24
    image, label = torch.from_numpy(ball)[None].float(), torch.from_numpy(ball).long()
    turn = certain(settings, spatial=1.0, scale=(1.0, 1.0), rotation_deg=40)
    augment = ClassicalAugmentation(turn, tuple(spacing))
    for seed in range(4):
        _, moved = augment(image, label, torch.ones_like(label) > 0, label.shape, [seed])
        assert dice(moved.numpy() > 0, ball) > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_all_at_once_keeps_labels_legal_and_the_outside_empty(seed, patients, settings):
    always = dict.fromkeys(
        ("spatial", "noise", "blur", "brightness", "contrast", "low_resolution", "gamma"), 1.0
    )
    image, label, brain = sample(patients)
    augment = ClassicalAugmentation(certain(settings, **always), (3, 3, 3))
    changed, moved = augment(image, label, brain, label.shape, [seed])
    assert changed.shape == image.shape and moved.dtype == label.dtype
    assert set(moved.unique().tolist()) <= set(label.unique().tolist())
    assert torch.isfinite(changed).all() and changed.abs().max() < 30
    assert (changed == 0).float().mean() > 0.2
    again, _ = augment(image, label, brain, label.shape, [seed])
    other, _ = augment(image, label, brain, label.shape, [seed + 100])
    assert torch.equal(changed, again) and not torch.equal(changed, other)


@pytest.mark.parametrize("shape", [(32, 32, 16), (20, 24, 28), (8, 8, 8)])
def test_the_network_takes_volumes_of_any_size(shape):
    network = SegmentationNetwork(modalities=2, regions=3, stem=2, widths=[4, 4, 8]).train()
    logits = network(torch.randn(1, 2, *shape))
    assert logits.shape == (1, 3, *shape)
    assert logits.sigmoid().mean() < 0.3  # it starts from tumours being rare
