"""Training of the denoiser."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.common.stored import StoredRows
from workflow_scripts.common.training import Training
from workflow_scripts.diffusion.latents import LatentSpace
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.prediction import predict
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings


class LatentBatches:
    """``batches(step)`` gives latents (B, C, h, w, Z), conditions (B, 9) and places (B, 6).

    ``latents`` (N, C, h, w, Z) may lie on disk; those of the batch are read.
    """

    def __init__(
        self,
        latents: NDArray | StoredRows,
        conditions: Tensor,
        place: Tensor,
        batch: int,
        seed: int,
    ) -> None:
        self.latents, self.conditions, self.place = latents, conditions, place
        self.batch, self.seed = batch, seed

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.integers(len(self.latents), size=self.batch)
        latent = np.stack([self.latents[i] for i in chosen])
        return torch.from_numpy(latent), self.conditions[chosen], self.place[chosen]


class DiffusionTraining(Training):
    """Distance between the prediction and its target at random timesteps, in white latents.

    White components count by their variance, so that the loss is that of the latents, each in
    units of the spread at its place (of which they are an orthogonal change of basis); in a
    ``centred`` space, by its root. The tumour
    has a share ``tumour_share`` of the loss, whatever its size: a small one would hardly count
    among all voxels. A share ``drop`` of the samples is trained on the null condition, each drawn
    by itself.
    """

    def __init__(
        self,
        model: StackDenoiser,
        process: Process,
        space: LatentSpace,
        settings: DiffusionSettings,
        seed: int,
    ) -> None:
        super().__init__(model, settings)
        self.process, self.space, self.seed = process, space, seed
        self.maps, self.drop = settings.maps, settings.drop
        self.tumour_share = settings.tumour_share
        self.power = {"l1": 1, "l2": 2}[settings.loss]

    def losses(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, Tensor]:
        """Loss of one batch of (latents, conditions, places)."""
        latent, conditions, place = batch
        x0 = self.space.standardise(latent.float())
        drawn = {"generator": self.random(self.seed, step), "device": x0.device}
        noise = torch.randn(x0.shape, **drawn)
        t = torch.randint(self.process.timesteps, (len(x0),), **drawn)
        present = torch.rand(len(x0), **drawn) >= self.drop
        maps = self.space.maps(place, present) if self.maps else x0[:, :0]
        x = self.process.noised(x0, noise, t)
        condition = conditions, present, maps
        prediction = predict(self.model, self.space, self.process, x, t, condition)
        difference = prediction - self.process.target(x0, noise, t)
        difference = difference * self.space.weight.sqrt().view(-1, 1, 1, 1)
        error = (difference.abs() ** self.power).mean(1)
        tumour = self.space.tumour(place)
        inside = (error * tumour).sum((1, 2, 3)) / tumour.sum((1, 2, 3)).clamp_min(1e-6)
        share = self.tumour_share
        return {"loss": ((1 - share) * error.mean((1, 2, 3)) + share * inside).mean()}
