"""The slice autoencoder: shapes, position, augmentation, and batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from workflow_scripts.autoencoder.augment import augment_patient
from workflow_scripts.autoencoder.encode_patients import Copy, warped_copy
from workflow_scripts.autoencoder.model import SliceAutoencoder
from workflow_scripts.autoencoder.reconstruct_patients import reconstruction_scores
from workflow_scripts.autoencoder.settings import AutoencoderSection
from workflow_scripts.autoencoder.slice_batches import SliceAugmentation, SliceBatches
from workflow_scripts.autoencoder.train import AutoencoderTraining, roughness
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import foreground

ROOT = Path(__file__).resolve().parents[2]
VALUES = yaml.safe_load((ROOT / "config.yaml").read_text())["autoencoder"]
SETTINGS = AutoencoderSection.model_validate(VALUES)
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


def augmentation(size_mm=(64, 64), **changes):
    return SliceAugmentation(SETTINGS.augment.model_copy(update=changes), size_mm)


def test_slice_augmentation_moves_image_and_label_together():
    label = torch.zeros(8, 64, 64, dtype=torch.uint8)
    label[:, 20:36, 30:44] = 1
    image = label[:, None].float() * 0.9
    moved, moved_label = augmentation()(image, label, torch.Generator().manual_seed(0))
    overlap = ((moved[:, 0] > 0.4) == (moved_label > 0)).float().mean()
    assert overlap > 0.99
    assert not torch.equal(moved_label, label)
    assert set(moved_label.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize(("shape", "spacing"), [((48, 96), (1, 1)), ((64, 128), (1.5, 0.75))])
def test_a_rotation_is_one_on_any_grid(shape, spacing):
    """Turned by up to 60°, a disc stays a disc: in millimetres, whatever the sides' lengths."""
    x, y = ((torch.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True))
    disc = ((x[:, None] ** 2 + y[None] ** 2) < 15**2).to(torch.uint8)[None].repeat(16, 1, 1)
    size_mm = tuple(n * s for n, s in zip(shape, spacing, strict=True))
    turn = augmentation(size_mm, rotation_deg=60, scale=0.0, shift=0.0)
    _, moved = turn(disc[:, None].float(), disc, torch.Generator().manual_seed(0))
    overlap = 2 * (moved & disc).sum((1, 2)) / (moved.sum((1, 2)) + disc.sum((1, 2)))
    assert overlap.min() > 0.95


def test_the_share_of_slices_with_a_tumour_is_the_configured_one(patients):
    for share, wanted in ((0.5, 4), (1.0, 8)):
        batches = SliceBatches(patients, "whole_tumour", 8, share, None, seed=3)
        assert all((batches(step)[1].amax((1, 2)) > 0).sum() >= wanted for step in range(5))


def test_batches_follow_from_the_step(patients):
    batches = SliceBatches(patients, "whole_tumour", 6, 0.5, augmentation(), seed=3)
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
    tissue = np.stack([image[1], image[0], image[1]])
    rng = np.random.default_rng(2)
    warped, moved, maps = augment_patient(image, label, tissue, GRID, SETTINGS.warp, rng)
    gain = warped[0][moved > 0].mean() - warped[0][(moved == 0) & (warped[0] > 0.2)].mean()
    assert gain > 0.2
    assert set(np.unique(moved)) == {0, 2}
    rng = np.random.default_rng(2)
    again, _, _ = augment_patient(image, label, tissue, GRID, SETTINGS.warp, rng)
    assert np.array_equal(warped, again)
    # Tissue maps move with the image, and have no contrast to change.
    assert np.array_equal(maps[0], maps[2])
    assert np.corrcoef(maps[1].ravel(), warped[0].ravel())[0, 1] > 0.99
    assert maps.max() == pytest.approx(tissue.max())


def test_copies_have_attributes_of_their_own():
    image, label, _ = brain_and_tumour()
    real = tumour_attributes(label, GRID.affine)
    patient = Copy(image, label, image[:0], real)
    made = [warped_copy(patient, GRID, SETTINGS.warp, [0, 0, copy]) for copy in range(12)]
    found = [copy.attributes for copy in made]
    volumes = np.array([a["volume_ml"] for a in found])
    assert volumes.std() > 0.1 * real["volume_ml"]
    assert len({np.sign(a["centroid_x_mm"]) for a in found}) == 2
    measured = tumour_attributes(made[1].label, GRID.affine)
    assert made[1].attributes == pytest.approx(measured, nan_ok=True)


def test_foreground_is_the_largest_bright_piece_without_holes():
    image, _, brain = brain_and_tumour()
    image[:, 15:17, 15:17, 10:12] = 0
    image[:, 0, 0, 0] = 1
    assert np.array_equal(foreground(image), brain)


def test_reconstruction_scores_of_a_perfect_copy():
    image, label, brain = brain_and_tumour()
    scores = reconstruction_scores(image, label, image + 0.01 * brain, label, brain, 4)
    assert scores["label_dice"] == 1
    assert scores["psnr_db"] == pytest.approx(40, abs=0.1)


def test_the_empty_background_is_no_merit_of_a_reconstruction():
    image, label, brain = brain_and_tumour()
    noise = 0.1 * np.random.default_rng(0).normal(size=image.shape).astype(np.float32) * brain
    found = reconstruction_scores(image, label, image + noise, label, brain, 4)
    wider = ([(0, 0), (20, 20), (20, 20), (0, 0)], [(20, 20), (20, 20), (0, 0)])
    large = [np.pad(a, wider[0]) for a in (image, image + noise)]
    masks = [np.pad(a, wider[1]) for a in (label, brain)]
    again = reconstruction_scores(large[0], masks[0], large[1], masks[0], masks[1], 4)
    assert again == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize(
    "terms",
    [
        {"l1", "mse", "label_ce"},
        {"l1", "ssim", "label_l1"},
        {"l1", "mse", "equivariance", "roughness"},
    ],
)
def test_the_loss_has_the_terms_that_weigh(terms):
    weights = {name: float(name in terms) for name in SETTINGS.loss.model_dump()}
    values = {**VALUES, "loss": weights}
    net = model(stem=2)
    training = AutoencoderTraining(net, AutoencoderSection.model_validate(values), seed=0)
    batch = torch.rand(3, 2, 32, 32), torch.randint(0, 4, (3, 32, 32)), torch.zeros(3)
    found = {name: float(value) for name, value in training.losses(batch, 0).items()}
    assert set(found) == {"loss", "kl", *terms}
    assert found["loss"] == pytest.approx(sum(found[name] for name in terms))
    perfect = 20 * torch.nn.functional.one_hot(batch[1], 4).movedim(-1, 1).float()
    left = training.terms(batch[0], batch[1], batch[0], perfect)
    assert max(float(term) for term in left.values()) < 1e-3


def test_noise_is_rough_and_a_picture_is_not():
    noise = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert float(roughness(noise)) == pytest.approx(1, abs=0.02)
    # Its size does not count.
    torch.testing.assert_close(roughness(5 * noise + 3), roughness(noise))
    x, y = torch.meshgrid(torch.linspace(0, 6, 64), torch.linspace(0, 3, 64), indexing="ij")
    picture = torch.stack([x.sin(), y.cos(), (x + y).sin()])[None]
    assert float(roughness(picture)) < 0.02


def test_equivariance_is_zero_where_halved_latents_are_the_halved_slice():
    class Copy(torch.nn.Module):
        """Its latents are the image; its label is wherever the image is bright."""

        def decode(self, latent, position):
            bright = 1e4 * (latent[:, :1] - 0.5)
            return latent, torch.cat([-bright, bright], 1)

    values = {**VALUES, "loss": {**VALUES["loss"], "equivariance": 1.0}}
    training = AutoencoderTraining(Copy(), AutoencoderSection.model_validate(values), seed=0)
    blocks = torch.rand(2, 2, 8, 8).round().repeat_interleave(2, 2).repeat_interleave(2, 3)
    label, position = blocks[:, 0].long(), torch.zeros(2)
    assert float(training.equivariance(blocks, label, blocks, position)) < 1e-6
    assert float(training.equivariance(blocks, label, 1 - blocks, position)) > 0.5
    image = torch.rand(2, 2, 16, 16)
    assert float(training.equivariance(image, label, image, position)) > 0.01
