"""Batches of training slices, drawn and augmented with random numbers of the step."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.autoencoder.settings import SliceAugmentSettings
from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.randomness import generator


class SliceAugmentation:
    """Mirrors, rotates, scales and shifts each slice of a batch independently, and changes its
    contrast."""

    def __init__(self, settings: SliceAugmentSettings, size_mm: tuple[float, float]) -> None:
        """``size_mm`` is the size of a slice along x and y."""
        self.settings, self.size_mm = settings, size_mm

    def __call__(
        self, image: Tensor, label: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Images (B, M, X, Y), interpolated linearly, and labels (B, X, Y), by nearest value."""
        settings, (b, m) = self.settings, image.shape[:2]

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=random) * 2 - 1

        angle = uniform(b) * math.radians(settings.rotation_deg)
        scale = 1 + settings.scale * uniform(b)
        mirror = torch.where(uniform(b) < 2 * settings.mirror - 1, -1.0, 1.0)
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        # grid_sample's coordinates run from -1 to 1 along each side, the last axis, y, first. A
        # rotation in mm is a rotation in these coordinates only if both sides are equally long.
        x_mm, y_mm = self.size_mm
        theta = torch.zeros(b, 2, 3)
        theta[:, 0, 0], theta[:, 0, 1] = cos, sin * (x_mm / y_mm)
        theta[:, 1, 0], theta[:, 1, 1] = -sin * (y_mm / x_mm) * mirror, cos * mirror
        theta[:, :, 2] = 2 * settings.shift * uniform(b, 2)
        grid = torch.nn.functional.affine_grid(theta, [b, 1, *image.shape[2:]], align_corners=False)
        image = torch.nn.functional.grid_sample(image, grid, align_corners=False)
        moved = torch.nn.functional.grid_sample(
            label[:, None].float(), grid, mode="nearest", align_corners=False
        )
        gamma = torch.exp(settings.gamma * uniform(b, m, 1, 1))
        gain = 1 + settings.gain * uniform(b, m, 1, 1)
        return (image.clamp(0, 1) ** gamma * gain).clamp(0, 1), moved[:, 0].to(label.dtype)


class SliceBatches:
    """``batches(step)`` returns images (B, M, X, Y), class labels (B, X, Y) and positions (B,).

    Tumours are small: a share ``tumour_slices`` of each batch are slices through the tumour, the
    others are drawn from all slices. Only an index of the slices is held in memory.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        labels: str,
        batch: int,
        tumour_slices: float,
        augment: SliceAugmentation | None,
        seed: int,
    ) -> None:
        self.patients = [Patient(folder) for folder in folders]
        self.labels, self.batch, self.augment, self.seed = labels, batch, augment, seed
        self.cutting = round(batch * tumour_slices)
        self.count = len(self.patients[0].slices)
        cut = np.array([patient.label_slices.any((1, 2)) for patient in self.patients])
        self.every, self.cut = np.argwhere(np.ones_like(cut)), np.argwhere(cut)

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, step])
        chosen = np.concatenate(
            [rng.choice(self.cut, self.cutting), rng.choice(self.every, self.batch - self.cutting)]
        )
        images = np.stack([self.patients[i].slices[z] for i, z in chosen]).astype(np.float32)
        raw = np.stack([self.patients[i].label_slices[z] for i, z in chosen])
        image, label = torch.from_numpy(images), torch.from_numpy(collapse(raw, self.labels))
        position = torch.from_numpy(chosen[:, 1] / (self.count - 1) * 2 - 1).float()
        if self.augment:
            image, label = self.augment(image, label, generator(self.seed, step))
        return image, label, position
