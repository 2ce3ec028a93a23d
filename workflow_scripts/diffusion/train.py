"""Training of the denoiser."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.common.training import Training, generator
from workflow_scripts.diffusion.conditions import draw_maps
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.process import Process


class LatentBatches:
    """``batches(step)`` gives latents (B, C, h, w, Z), conditions (B, 9) and places (B, 6).

    ``latents`` (N, C, h, w, Z) stays mapped on disk.
    """

    def __init__(
        self, latents: NDArray, conditions: Tensor, place: Tensor, batch: int, seed: int
    ) -> None:
        self.latents, self.conditions, self.place = latents, conditions, place
        self.batch, self.seed = batch, seed

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.integers(len(self.latents), size=self.batch)
        latent = np.stack([self.latents[i] for i in chosen]).astype(np.float32)
        return torch.from_numpy(latent), self.conditions[chosen], self.place[chosen]


class DiffusionTraining(Training):
    """Distance between the prediction and its target at random timesteps.

    ``mean`` (C, h, w, Z) and ``sd`` (C, 1, 1, 1) of the training latents are taken out first,
    so that the network learns what differs between patients. A share ``drop`` of the samples is
    trained on the null condition, each drawn by itself.
    """

    def __init__(
        self,
        model: StackDenoiser,
        process: Process,
        mean: Tensor,
        sd: Tensor,
        points: Tensor,
        *,
        steps: int,
        lr: float,
        ema_decay: float,
        maps: bool,
        loss: str,
        drop: float,
        seed: int,
    ) -> None:
        super().__init__(model, steps, lr, ema_decay, weight_decay=1e-4)
        self.process, self.maps, self.drop, self.seed = process, maps, drop, seed
        self.distance = {"l1": torch.nn.L1Loss(), "l2": torch.nn.MSELoss()}[loss]
        for name, value in (("mean", mean), ("sd", sd), ("points", points)):
            self.register_buffer(name, value)

    def losses(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, Tensor]:
        """Loss of one batch of (latents, conditions, places)."""
        latent, conditions, place = batch
        random = generator(self.seed, step, 1)
        x0 = (latent - self.mean) / self.sd
        noise = torch.randn(x0.shape, generator=random).to(x0)
        t = torch.randint(self.process.timesteps, (len(x0),), generator=random).to(x0.device)
        present = (torch.rand(len(x0), generator=random) >= self.drop).to(x0.device)
        maps = draw_maps(place, present, self.points) if self.maps else x0[:, :0]
        x = self.process.noised(x0, noise, t)
        prediction = self.model(x, t, conditions, present, maps)
        return {"loss": self.distance(prediction.float(), self.process.target(x0, noise, t))}
