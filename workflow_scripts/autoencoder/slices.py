"""Batches of training slices, drawn and augmented by the step's own random numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.training import generator


class SliceBatches:
    """``batches(step)`` gives images (B, M, X, Y), class labels (B, X, Y) and positions (B,).

    Tumours fill a small part of the brain: half of each batch are slices that cut the tumour,
    the rest are drawn from all slices. Only an index of the slices is held in memory.
    """

    def __init__(
        self, folders: Sequence[str | Path], labels: str, batch: int, augment: bool, seed: int
    ) -> None:
        self.patients = [Patient(folder) for folder in folders]
        self.labels, self.batch, self.augment, self.seed = labels, batch, augment, seed
        self.count = len(self.patients[0].slices)
        every = [
            (i, z) for i, patient in enumerate(self.patients) for z in range(len(patient.slices))
        ]
        self.every = np.array(every)
        cut = [bool(self.patients[i].label_slices[z].any()) for i, z in every]
        self.cut = self.every[np.array(cut)]

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, step])
        half = self.batch // 2
        chosen = np.concatenate(
            [rng.choice(self.cut, half), rng.choice(self.every, self.batch - half)]
        )
        images = np.stack([self.patients[i].slices[z] for i, z in chosen]).astype(np.float32)
        raw = np.stack([self.patients[i].label_slices[z] for i, z in chosen])
        image, label = torch.from_numpy(images), torch.from_numpy(collapse(raw, self.labels))
        position = torch.from_numpy(chosen[:, 1] / (self.count - 1) * 2 - 1).float()
        if self.augment:
            image, label = augment_slices(image, label, generator(self.seed, step))
        return image, label, position


def augment_slices(image: Tensor, label: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror, turn (±15°), scale (±15 %), shift (±6 %) and re-contrast each slice by itself.

    ``image`` (B, M, X, Y) is interpolated linearly and ``label`` (B, X, Y) by the nearest value.
    """
    b, m = image.shape[:2]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random) * 2 - 1

    angle, scale = uniform(b) * 0.26, 1 + 0.15 * uniform(b)
    mirror = torch.where(uniform(b) > 0, 1.0, -1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    # The first axis of a slice is x, which grid_sample calls "height", its last coordinate.
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cos, sin
    theta[:, 1, 0], theta[:, 1, 1] = -sin * mirror, cos * mirror
    theta[:, :, 2] = 0.12 * uniform(b, 2)
    grid = torch.nn.functional.affine_grid(theta, [b, 1, *image.shape[2:]], align_corners=False)
    image = torch.nn.functional.grid_sample(image, grid, align_corners=False)
    moved = torch.nn.functional.grid_sample(
        label[:, None].float(), grid, mode="nearest", align_corners=False
    )
    gamma = torch.exp(0.25 * uniform(b, m, 1, 1))
    gain = 1 + 0.15 * uniform(b, m, 1, 1)
    return (image.clamp(0, 1) ** gamma * gain).clamp(0, 1), moved[:, 0].to(label.dtype)
