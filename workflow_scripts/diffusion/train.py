"""Training of the denoiser."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.common.attributes import SHARES
from workflow_scripts.common.stored import StoredRows
from workflow_scripts.common.training import Training
from workflow_scripts.diffusion.conditions import forget_shares
from workflow_scripts.diffusion.latents import LatentSpace
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings

# Latents (B, C, h, w, Z), conditions (B, c), ellipsoids (B, 6), tissue maps (B, 3, X, Y, Z) and
# rendered latents (B, C, h, w, Z), each (B, 0) where no anatomy is given.
Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
# Share of samples in which a share of the tumour is not told, as in most requests.
FORGOTTEN = 0.5


class LatentBatches:
    """``batches(step)`` gives a ``Batch`` of training latents, in a random order of the step's own.

    ``latents`` (N, C, h, w, Z) and the ``anatomy``, tissue maps (N, 3, X, Y, Z), 0 to 255, with
    rendered latents (N, C, h, w, Z), may lie on disk; those of the batch are read.
    """

    def __init__(
        self,
        latents: NDArray | StoredRows,
        conditions: Tensor,
        ellipsoids: Tensor,
        anatomy: tuple[NDArray | StoredRows, NDArray | StoredRows] | None,
        batch: int,
        seed: int,
    ) -> None:
        self.latents, self.conditions, self.ellipsoids = latents, conditions, ellipsoids
        self.anatomy, self.batch, self.seed = anatomy, batch, seed

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.integers(len(self.latents), size=self.batch)

        def read(rows: NDArray | StoredRows) -> Tensor:
            return torch.from_numpy(np.stack([rows[i] for i in chosen]))

        tissue = rendered = torch.zeros(len(chosen), 0)
        if self.anatomy is not None:
            tissue, rendered = (read(rows) for rows in self.anatomy)
        told = self.conditions[chosen], self.ellipsoids[chosen]
        return read(self.latents), *told, tissue, rendered


class DiffusionTraining(Training):
    """Distance between the network's output and its target at random noise levels.

    In the output's units every noise level counts alike (Karras et al. 2022, equation 8). The
    tumour has a share ``tumour_share`` of the loss, whatever its size: a small one would hardly
    count among all voxels. A share ``drop`` of the samples is trained on the null condition, each
    drawn by itself.
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
        self.settings = settings
        self.power = {"l1": 1, "l2": 2}[settings.loss]

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Loss of one batch."""
        latent, conditions, ellipsoids, tissue, rendered = batch
        known = rendered.float() if rendered.shape[1] else 0
        x0 = self.space.standardise(latent.float() - known)
        random = self.random(self.seed, step)
        drawn = {"generator": random, "device": x0.device}
        sigma = self.process.noise_levels(len(x0), random, x0.device)
        x = x0 + sigma.view(-1, 1, 1, 1, 1) * torch.randn(x0.shape, **drawn)
        present = torch.rand(len(x0), **drawn) >= self.settings.drop
        forgotten = torch.rand(len(x0), len(SHARES), **drawn) < FORGOTTEN
        conditions = forget_shares(conditions, forgotten)
        maps = self.space.beside(ellipsoids, present, tissue, rendered, self.settings)
        output = self.process.output(
            lambda scaled, level: self.model(scaled, level, conditions, present, maps), x, sigma
        )
        difference = output - self.process.preconditioning(sigma, x).target(x0, x)
        error = (difference.abs() ** self.power).mean(1)
        tumour = self.space.tumour(ellipsoids)
        inside = (error * tumour).sum((1, 2, 3)) / tumour.sum((1, 2, 3)).clamp_min(1e-6)
        share = self.settings.tumour_share
        return {"loss": ((1 - share) * error.mean((1, 2, 3)) + share * inside).mean()}
