"""Training of the denoisers: batches and losses. The loop is that of ``common/fit.py``."""

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
# Probability that a share of the tumour is hidden from the denoiser in a training sample. Most
# requests do not have it either.
FORGOTTEN = 0.5
# Widths, in latents, of the cubes and of the squares of one slice over which errors are averaged
# (``coarse_error``).
CUBES, SQUARES = (2, 4), (4, 8)


class LatentBatches:
    """Batches of training samples: ``batches(step)`` is the ``Batch`` of a step.

    Its samples are drawn with replacement, from the seed and the step alone, so that a resumed
    training has the same batches.

    ``latents`` (N, C, h, w, Z), ``conditions`` (N, c), ``ellipsoids`` (N, 6), the ``anatomy``
    (tissue maps (N, 3, X, Y, Z), 0 to 255, and rendered latents (N, C, h, w, Z)) and the
    ``tumours`` (packed nested masks) have one row per training sample. Arrays can lie on disk; only
    the rows of a batch are read.
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
        """The batch of the training samples with the indices ``chosen``."""

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
    """Loss of errors that are smooth: the mean of ``|√n · mean of the difference|^power`` over
    blocks of n latent elements, averaged over the kinds of blocks.

    ``difference`` (B, C · px py pz, …) is that of outputs and targets, folded by ``patch``; an
    element is ``down`` × ``down`` × 1 voxels. Blocks are cubes in voxels (``CUBES``) and squares in
    a slice (``SQUARES``).

    The error of single elements is mostly noise that no denoiser can predict, among which errors as
    smooth as a bias field hardly count. Averages over cubes show them (Hoogeboom et al. 2023,
    section 3.3). Averages over squares show errors in the brightness of single slices, which look
    like stripes. With the factor √n, white noise counts as much as in single elements.
    """
    latents = unfold(difference, patch)
    # Elements are wider than slices are thick, so a cube has more of them along z.
    blocks = [(width, width, width * down) for width in CUBES] + [(w, w, 1) for w in SQUARES]
    errors = []
    for block in blocks:
        size = [min(pair) for pair in zip(block, latents.shape[2:], strict=True)]
        pooled = functional.avg_pool3d(latents, size)
        errors.append((pooled.abs() * math.prod(size) ** 0.5).pow(power).mean())
    return torch.stack(errors).mean()


class Denoisers(nn.Module):
    """The networks that are trained: the denoiser of latents, and that of layouts or ``None``."""

    def __init__(self, denoiser: StackDenoiser, layout: StackDenoiser | None = None) -> None:
        super().__init__()
        self.denoiser, self.layout = denoiser, layout


class DiffusionTraining(Training):
    """Denoising at random noise levels: the distance between the networks' outputs and their
    targets.

    In units of the output every noise level has the same weight (Karras et al. 2022, equation 8).
    With t = ``tumour_share`` and c = ``coarse_share``, the loss of latents is

        ``(1 - c) ((1 - t) E + t T) + c S``

    where E is the mean error of all elements and T that of the tumour's, which would hardly count
    in E if the tumour is small. S is the loss of smooth errors (``coarse_error``). Each sample has
    the null condition with probability ``drop``, for guidance (Ho & Salimans 2022).
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
        """``regions`` is whether the training labels distinguish regions of a tumour."""
        super().__init__(model, settings)
        self.process, self.space, self.grid, self.seed = process, space, grid, seed
        self.settings, self.regions = settings, regions
        self.power = {"l1": 1, "l2": 2}[settings.loss]

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The loss of a batch at a ``step``, and its parts (of latents and of layouts) if layouts
        are trained. Random numbers follow from the seed and the step."""
        latent, conditions, ellipsoids, tissue, rendered, masks = batch
        # Noisy latents x = x0 + sigma n; x0 is what is left of latents without the rendered ones.
        known = rendered.float() if rendered.shape[1] else 0
        x0 = self.space.standardise(latent.float() - known)
        random = self.random(self.seed, step)
        drawn = {"generator": random, "device": x0.device}
        sigma = self.process.noise_levels(len(x0), random, x0.device)
        x = x0 + sigma.view(-1, 1, 1, 1, 1) * torch.randn(x0.shape, **drawn)
        # Drop the condition of some samples, and single shares of the tumour of others.
        present = torch.rand(len(x0), **drawn) >= self.settings.drop
        forgotten = torch.rand(len(x0), len(SHARES), **drawn) < FORGOTTEN
        conditions = forget_shares(conditions, forgotten)
        # The network's output F against its target (equation 8), (B, C · px py pz, …).
        maps = self.space.beside(ellipsoids, present, tissue, rendered, self.settings)
        output = self.process.output(
            lambda scaled, level: self.model.denoiser(scaled, level, conditions, present, maps),
            x,
            sigma,
        )
        difference = output - self.process.preconditioning(sigma, x).target(x0, x)
        # Errors by position, (B, …); those of the tumour are weighted by its soft ellipsoid.
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
        """Mean squared error of the denoiser of layouts, for each layout at ``layout_repeats``
        noise levels.

        The inputs are those of the batch; ``masks`` (B, 3, X, Y, Z) are nested. If labels do not
        distinguish regions, only the first channel, the whole tumour, counts.
        """
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
