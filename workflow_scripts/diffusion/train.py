"""Training of the denoiser."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.common.attributes import SHARES
from workflow_scripts.common.device import exact
from workflow_scripts.common.fold import Patch, unfold
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.stored import StoredRows, unpack_mask
from workflow_scripts.common.training import Training
from workflow_scripts.diffusion.conditions import forget_shares
from workflow_scripts.diffusion.latents import LatentSpace
from workflow_scripts.diffusion.layouts import (
    REGIONS,
    frame_points,
    layout_maps,
    layout_noise,
    scaled,
    soft_masks,
)
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings

# Latents (B, C, h, w, Z), conditions (B, c), ellipsoids (B, 6), tissue maps (B, 3, X, Y, Z) and
# rendered latents (B, C, h, w, Z), each (B, 0) where no anatomy is given, and nested masks of the
# tumour (B, 3, X, Y, Z), (B, 0) where layouts are not learned.
Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
# Share of samples in which a share of the tumour is not told, as in most requests.
FORGOTTEN = 0.5
# Widths, in latents, of the cubes and of the squares of one slice over which errors are averaged
# (``coarse_error``).
CUBES, SQUARES = (2, 4), (4, 8)


class LatentBatches:
    """``batches(step)`` gives a ``Batch`` of training latents, in a random order of the step's own.

    ``latents`` (N, C, h, w, Z), the ``anatomy``, tissue maps (N, 3, X, Y, Z), 0 to 255, with
    rendered latents (N, C, h, w, Z), and the ``tumours``, packed nested masks, may lie on disk;
    those of the batch are read.
    """

    def __init__(
        self,
        latents: NDArray | StoredRows,
        conditions: Tensor,
        ellipsoids: Tensor,
        anatomy: tuple[NDArray | StoredRows, NDArray | StoredRows] | None,
        batch: int,
        seed: int,
        tumours: NDArray | StoredRows | None = None,
    ) -> None:
        self.latents, self.conditions, self.ellipsoids = latents, conditions, ellipsoids
        self.anatomy, self.batch, self.seed, self.tumours = anatomy, batch, seed, tumours

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        return self.rows(rng.integers(len(self.latents), size=self.batch))

    def rows(self, chosen: Sequence[int]) -> Batch:
        """The training latents with the ``chosen`` indices."""

        def read(rows: NDArray | StoredRows) -> Tensor:
            return torch.from_numpy(np.stack([rows[i] for i in chosen]))

        tissue = rendered = torch.zeros(len(chosen), 0)
        if self.anatomy is not None:
            tissue, rendered = (read(rows) for rows in self.anatomy)
        masks = torch.zeros(len(chosen), 0)
        if self.tumours is not None:
            shape = (REGIONS, *tissue.shape[2:])
            unpacked = [unpack_mask(self.tumours[i], shape) for i in chosen]
            masks = torch.from_numpy(np.stack(unpacked))
        conditioning = self.conditions[chosen], self.ellipsoids[chosen]
        return read(self.latents), *conditioning, tissue, rendered, masks


def coarse_error(difference: Tensor, patch: Patch, down: int, power: int) -> Tensor:
    """Mean of ``|mean difference|^power`` over blocks of latents, of a folded ``difference``
    (B, C · patch, …) of outputs and targets whose latents are ``down`` voxels wide and one thick.

    Errors as smooth as a bias field hardly count among single latents, most of whose error cannot
    be known; averaged over cubes they stand out (Hoogeboom et al. 2023, section 3.3). Averaged over
    squares of a slice, so do differences in brightness between neighbouring slices, which become
    stripes. Each block is scaled by its number of latents, so that white noise counts as much as
    latent by latent.
    """
    latents = unfold(difference, patch)
    blocks = [(width, width, width * down) for width in CUBES] + [(w, w, 1) for w in SQUARES]
    errors = []
    for block in blocks:
        size = [min(pair) for pair in zip(block, latents.shape[2:], strict=True)]
        pooled = functional.avg_pool3d(latents, size)
        errors.append((pooled.abs() * math.prod(size) ** 0.5).pow(power).mean())
    return torch.stack(errors).mean()


class Denoisers(nn.Module):
    """What is trained: the denoiser of the latents, and that of layouts where there is one."""

    def __init__(self, denoiser: StackDenoiser, layout: StackDenoiser | None = None) -> None:
        super().__init__()
        self.denoiser, self.layout = denoiser, layout


class DiffusionTraining(Training):
    """Distance between the networks' outputs and their targets at random noise levels.

    In the output's units every noise level counts alike (Karras et al. 2022, equation 8). The
    tumour has a share ``tumour_share`` of the loss, whatever its size: a small one would hardly
    count among all voxels. ``coarse_share`` of the loss is that of mean errors over several latents
    (``coarse_error``). A share ``drop`` of the samples is trained on the null condition, each drawn
    by itself.
    """

    def __init__(
        self,
        model: Denoisers,
        process: Process,
        space: LatentSpace,
        settings: DiffusionSettings,
        grid: Grid,
        seed: int,
        regions: bool = True,
    ) -> None:
        """``regions`` is whether labels tell regions of a tumour apart."""
        super().__init__(model, settings)
        self.process, self.space, self.grid, self.seed = process, space, grid, seed
        self.settings, self.regions = settings, regions
        self.power = {"l1": 1, "l2": 2}[settings.loss]

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Loss of one batch: of the latents, and of the layouts where they are learned."""
        latent, conditions, ellipsoids, tissue, rendered, masks = batch
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
            lambda scaled, level: self.model.denoiser(scaled, level, conditions, present, maps),
            x,
            sigma,
        )
        difference = output - self.process.preconditioning(sigma, x).target(x0, x)
        error = (difference.abs() ** self.power).mean(1)
        tumour = self.space.tumour(ellipsoids)
        inside = (error * tumour).sum((1, 2, 3)) / tumour.sum((1, 2, 3)).clamp_min(1e-6)
        share = self.settings.tumour_share
        loss = ((1 - share) * error.mean((1, 2, 3)) + share * inside).mean()
        if coarse := self.settings.coarse_share:
            down = self.grid.shape[0] // self.space.shape[1]
            smooth = coarse_error(difference, self.space.patch, down, self.power)
            loss = (1 - coarse) * loss + coarse * smooth
        if self.model.layout is None:
            return {"loss": loss}
        layout = self._layout_loss(conditions, present, ellipsoids, tissue, masks, random)
        return {"loss": loss + layout, "loss_latents": loss, "loss_layout": layout}

    def _layout_loss(
        self,
        conditions: Tensor,
        present: Tensor,
        ellipsoids: Tensor,
        tissue: Tensor,
        masks: Tensor,
        random: torch.Generator,
    ) -> Tensor:
        """Mean squared error of the denoiser of layouts, each at several noise levels; of the whole
        tumour alone where labels tell no regions apart."""
        repeats, process = self.settings.layout_repeats, Process(layout_noise(self.settings))
        with exact(ellipsoids.device):
            points = frame_points(ellipsoids)
            maps = layout_maps(tissue, points, self.grid).repeat(repeats, 1, 1, 1, 1)
            x0 = scaled(soft_masks(masks, points, self.grid)).repeat(repeats, 1, 1, 1, 1)
        conditions, present = conditions.repeat(repeats, 1), present.repeat(repeats)
        sigma = process.noise_levels(len(x0), random, x0.device)
        noise = torch.randn(x0.shape, generator=random, device=x0.device)
        x = x0 + sigma.view(-1, 1, 1, 1, 1) * noise
        output = process.output(
            lambda noisy, level: self.model.layout(noisy, level, conditions, present, maps),
            x,
            sigma,
        )
        error = (output - process.preconditioning(sigma, x).target(x0, x)).square()
        return error[:, : REGIONS if self.regions else 1].mean()
