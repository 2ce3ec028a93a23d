"""Batches of one arm: patient, patch and augmentation of each sample."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.common.patients import Patient
from workflow_scripts.segmentation.blocks import read_block, reference_masks
from workflow_scripts.segmentation.classical import ClassicalAugmentation
from workflow_scripts.segmentation.mixing import Volume, mixing_of
from workflow_scripts.segmentation.settings import ADDED, SegmentationSettings, words_of

Folders = Sequence[str | Path]


class SegmentationBatches:
    """``batches(step)`` returns images (B, M, X, Y, Z) and region masks (B, R, X, Y, Z).

    Batches depend on the seed and the step only. All arms draw their real patients in the same
    order. A share ``synthetic_fraction`` of the samples is synthetic, evenly spread over the steps,
    or none if no synthetic patient could be made. In an arm with ``synthetic_first`` all samples in
    a share ``first`` of the steps are synthetic, and all later ones real. In an arm with a mixing
    augmentation a share ``mix`` of the samples is mixed with another real patient, before classical
    augmentation.
    """

    def __init__(
        self,
        arm: str,
        real: Folders,
        synthetic: Folders,
        labels: str,
        settings: SegmentationSettings,
        spacing_mm: tuple[float, float, float],
        seed: int,
    ) -> None:
        words = words_of(arm)
        self.real = [Patient(folder) for folder in real]
        self.synthetic = [Patient(f) for f in synthetic] if words & set(ADDED) else []
        self.fraction = settings.synthetic_fraction if self.synthetic else 0.0
        # Number of samples before the first real one.
        self.before = 0
        if self.synthetic and "synthetic_first" in words:
            self.before = round(settings.first * settings.steps) * settings.batch
            self.fraction = 0.0
        classical = ClassicalAugmentation(settings.classical, spacing_mm)
        self.augment = classical if "classical" in words else None
        self.mixing, self.mix = mixing_of(arm, spacing_mm), settings.mix
        self.labels, self.batch, self.seed = labels, settings.batch, seed
        self.foreground, self.patch = settings.foreground, settings.patch

    def patient(self, sample: int) -> Patient:
        """The patient of the n-th sample of the whole training, counted from 0.

        Each pool is traversed repeatedly, in a new order each time, so that no patient is missed.
        """
        synthetic_before, synthetic_by_then = (
            max(math.floor(n * self.fraction), min(n, self.before)) for n in (sample, sample + 1)
        )
        is_synthetic = synthetic_by_then > synthetic_before
        pool = self.synthetic if is_synthetic else self.real
        turn = synthetic_before if is_synthetic else sample - synthetic_before
        order = np.random.default_rng([self.seed, is_synthetic, turn // len(pool)])
        return pool[order.permutation(len(pool))[turn % len(pool)]]

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        samples = [self.sample(step * self.batch + k) for k in range(self.batch)]
        images, masks = zip(*samples, strict=True)
        return torch.stack(images), torch.stack(masks)

    def sample(self, number: int) -> tuple[Tensor, Tensor]:
        """Image (M, X, Y, Z) and region masks (R, X, Y, Z) of the n-th sample."""
        patient = self.patient(number)
        shape = _shape(patient)
        size = tuple(self.patch or shape)
        start, block = np.zeros(3, np.int64), size
        if self.patch:
            if self.augment:
                block = tuple(n + 2 * round((self.augment.margin - 1) * n / 2) for n in size)
            rng = np.random.default_rng([self.seed, number])
            start = self._place(patient, shape, size, rng) - (np.array(block) - size) // 2
        volume = Volume(*read_block(patient, start, block))
        image, label, brain = map(torch.from_numpy, self._mixed(patient, volume, start, number))
        if self.augment:
            image, label = self.augment(image, label, brain, size, [self.seed, number, 1])
        masks = reference_masks(label.numpy(), self.labels)
        return image.contiguous(), torch.from_numpy(masks).float()

    def _mixed(
        self, patient: Patient, volume: Volume, start: NDArray[np.int64], number: int
    ) -> Volume:
        """The n-th sample's block of a patient from voxel ``start``, mixed with another patient's
        or unchanged."""
        rng = np.random.default_rng([self.seed, number, 2])
        donors = [p for p in self.real if p.folder != patient.folder]
        if self.mixing is None or not donors or rng.random() >= self.mix:
            return volume
        donor, block = donors[rng.integers(len(donors))], volume.label.shape
        if self.mixing.around_tumour:
            z, x, y = np.nonzero(donor.label_slices)
            # Without a tumour, use the centre of the volume.
            middles = (
                v.mean() if len(v) else n / 2 for v, n in zip((x, y, z), _shape(donor), strict=True)
            )
            start = np.array([round(m) for m in middles]) - np.array(block) // 2
        return self.mixing(volume, Volume(*read_block(donor, start, block)), rng)

    def _place(
        self,
        patient: Patient,
        shape: tuple[int, ...],
        size: tuple[int, ...],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """First voxel of a patch, at a random position or around a random tumour voxel."""
        room = np.array(shape) - size
        start = rng.integers(np.minimum(room, 0), np.maximum(room, 0) + 1)
        if rng.random() < self.foreground:
            z, x, y = np.nonzero(patient.label_slices)
            if len(z):
                chosen = rng.integers(len(z))
                middle = np.array([x[chosen], y[chosen], z[chosen]])
                start = middle - np.array(size) // 2
        return np.clip(start, np.minimum(room, 0), np.maximum(room, 0)).astype(np.int64)


def _shape(patient: Patient) -> tuple[int, int, int]:
    """Voxels of a patient's volume along x, y and z."""
    return (*patient.slices.shape[2:], len(patient.slices))
