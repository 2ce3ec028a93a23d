"""The slice autoencoder: shapes, position, augmentation, and batches."""

import numpy as np
import pytest
import torch

from workflow_scripts.autoencoder.augment import augment_patient
from workflow_scripts.autoencoder.codec import brain_of
from workflow_scripts.autoencoder.encode_patients import augmented_copy
from workflow_scripts.autoencoder.model import SliceAutoencoder
from workflow_scripts.autoencoder.reconstruct_patients import reconstruction_scores
from workflow_scripts.autoencoder.slices import SliceBatches, augment_slices
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.grid import Grid

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))


def model(position=True, stem=2):
    torch.manual_seed(0)
    return SliceAutoencoder(
        modalities=2,
        classes=4,
        latent_channels=3,
        widths=[8, 16],
        blocks=1,
        norm_groups=4,
        attention=False,
        stem=stem,
        position=position,
    )


@pytest.mark.parametrize(("stem", "down"), [(1, 2), (2, 4)])
def test_shapes(stem, down):
    net = model(stem=stem)
    image, label = torch.rand(5, 2, 32, 32), torch.randint(0, 4, (5, 32, 32))
    position = torch.linspace(-1, 1, 5)
    mean, log_variance = net.encode(image, label, position)
    assert mean.shape == log_variance.shape == (5, 3, 32 // down, 32 // down)
    made, logits = net.decode(mean, position)
    assert made.shape == image.shape
    assert logits.shape == (5, 4, 32, 32)


def test_position_reaches_encoder_and_decoder():
    image, label = torch.rand(1, 2, 32, 32), torch.zeros(1, 32, 32, dtype=torch.long)
    low, high = torch.tensor([-1.0]), torch.tensor([1.0])
    told, untold = model(position=True), model(position=False)
    latent = told.encode(image, label, low)[0]
    assert not torch.allclose(latent, told.encode(image, label, high)[0])
    assert not torch.allclose(told.decode(latent, low)[0], told.decode(latent, high)[0])
    latent = untold.encode(image, label, low)[0]
    assert torch.equal(latent, untold.encode(image, label, high)[0])


def test_slice_augmentation_moves_image_and_label_together():
    label = torch.zeros(8, 64, 64, dtype=torch.uint8)
    label[:, 20:36, 30:44] = 1
    image = label[:, None].float() * 0.9
    moved, moved_label = augment_slices(image, label, torch.Generator().manual_seed(0))
    overlap = ((moved[:, 0] > 0.4) == (moved_label > 0)).float().mean()
    assert overlap > 0.99
    assert not torch.equal(moved_label, label)
    assert set(moved_label.unique().tolist()) <= {0, 1}


def test_batches_follow_from_the_step(patients):
    batches = SliceBatches(patients, "whole_tumour", 6, True, seed=3)
    first, again, other = batches(4), batches(4), batches(5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    image, label, position = first
    assert image.shape == (6, 2, 32, 32)
    assert label.max() <= 1
    assert position.abs().max() <= 1


def brain_and_tumour():
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij"), -1)
    mm = GRID.to_mm(voxels)
    brain = ((mm - [0, -18, 5]) ** 2 / np.array([60, 70, 55]) ** 2).sum(-1) < 1
    label = (((mm - [25, -10, 15]) ** 2).sum(-1) < 18**2).astype(np.uint8) * 2
    image = np.stack([0.5 * brain + 0.4 * (label > 0), 0.4 * brain]).astype(np.float32)
    return image, label, brain


def test_patient_augmentation_warps_image_and_label_alike():
    image, label, _ = brain_and_tumour()
    warped, moved = augment_patient(image, label, GRID, np.random.default_rng(2))
    gain = warped[0][moved > 0].mean() - warped[0][(moved == 0) & (warped[0] > 0.2)].mean()
    assert gain > 0.2
    assert set(np.unique(moved)) == {0, 2}
    again, _ = augment_patient(image, label, GRID, np.random.default_rng(2))
    assert np.array_equal(warped, again)


def test_copies_have_attributes_of_their_own():
    image, label, _ = brain_and_tumour()
    real = tumour_attributes(label, GRID.affine)
    found = [augmented_copy(image, label, GRID, [0, 0, copy])[2] for copy in range(12)]
    volumes = np.array([a["volume_ml"] for a in found])
    assert volumes.std() > 0.1 * real["volume_ml"]
    assert len({np.sign(a["centroid_x_mm"]) for a in found}) == 2
    warped, moved, attributes = augmented_copy(image, label, GRID, [0, 0, 1])
    assert attributes == pytest.approx(tumour_attributes(moved, GRID.affine), nan_ok=True)


def test_brain_is_the_largest_bright_piece_without_holes():
    image, _, brain = brain_and_tumour()
    image[:, 15:17, 15:17, 10:12] = 0
    image[:, 0, 0, 0] = 1
    assert np.array_equal(brain_of(image), brain)


def test_reconstruction_scores_of_a_perfect_copy():
    image, label, _ = brain_and_tumour()
    scores = reconstruction_scores(image, label, image + 0.01, label, 4)
    assert scores["label_dice"] == 1
    assert scores["psnr_db"] == pytest.approx(40, abs=0.1)
