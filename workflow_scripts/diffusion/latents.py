"""The space in which the denoiser works: centred latents, folded."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.common.files import UserError
from workflow_scripts.common.fold import Patch, fold, unfold
from workflow_scripts.common.stored import StoredRows
from workflow_scripts.diffusion.conditions import MAPS, draw_maps
from workflow_scripts.diffusion.settings import DenoiserSettings
from workflow_scripts.preprocess.tissue import TISSUES

# A channel that hardly varies would otherwise be blown up without bound.
SMALLEST_SHARE = 1e-3


class LatentSpace(nn.Module):
    """Takes latents to where the denoiser works, and back.

    The voxelwise ``mean`` (C, h, w, Z) is subtracted, each channel is divided by its standard
    deviation ``sd`` (C), and neighbouring latents, a ``patch`` along x, y and z, are folded into
    channels. Mean and deviation come from the training latents and are saved with the denoiser's
    weights; a plain space leaves latents as they are, but for folding.
    """

    def __init__(self, shape: tuple[int, int, int, int], patch: Patch) -> None:
        super().__init__()
        c, *size = shape
        self.shape, self.patch = tuple(shape), tuple(patch)
        self.register_buffer("mean", torch.zeros(c, *size))
        self.register_buffer("sd", torch.ones(c))
        # They follow from the grid, and are not kept with the weights.
        self.register_buffer("points", torch.zeros(3, *size), persistent=False)

    @property
    def folded_shape(self) -> tuple[int, int, int, int]:
        """Channels and positions along x, y and z of what the denoiser sees."""
        c, *size = self.shape
        positions = (n // p for n, p in zip(size, self.patch, strict=True))
        return c * int(np.prod(self.patch)), *positions

    def standardise(self, latent: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w, Z) to centred ones (B, C · patch, h / px, w / py, Z / pz)."""
        return fold((latent - self.mean) / self.sd.view(-1, 1, 1, 1), self.patch)

    def restore(self, centred: Tensor) -> Tensor:
        """The inverse of ``standardise``."""
        return unfold(centred, self.patch) * self.sd.view(-1, 1, 1, 1) + self.mean

    def beside(
        self, ellipsoid: Tensor, present: Tensor, tissue: Tensor, settings: DenoiserSettings
    ) -> Tensor:
        """Maps (B, m, h / px, w / py, Z / pz) beside folded latents, as many as the settings want
        (``map_channels``).

        Of ``draw_maps``, position and offset, which are linear, by their mean over a patch, and the
        ellipsoid folded as the latents are; then the tissue maps (B, 3, X, Y, Z), 0 to 255, folded.
        """
        maps = [ellipsoid.new_zeros(len(ellipsoid), 0, *self.folded_shape[1:])]
        if settings.maps:
            drawn = draw_maps(ellipsoid, present, self.points)
            linear, soft = drawn.split([MAPS - 1, 1], 1)
            maps += [functional.avg_pool3d(linear, self.patch), fold(soft, self.patch)]
        if settings.anatomy == "tissue":
            down = tissue.shape[2] // self.shape[1]
            px, py, pz = self.patch
            maps.append(fold(tissue.to(ellipsoid) / 255, (down * px, down * py, pz)))
        return torch.cat(maps, 1)

    def mirror_around(self, tissue: Tensor, ellipsoid: Tensor, factor: Tensor) -> Tensor:
        """Tissue maps (B, 3, X, Y, Z) with those of the other hemisphere inside ellipsoids (B, 6)
        whose semi-axes are ``factor`` (B,) times as long, where both sides are brain; a factor of 0
        changes nothing."""
        shape = (-1, 3, 1, 1, 1)
        axes = (ellipsoid[:, 3:] * factor[:, None]).clamp_min(1e-6).view(shape)
        distance = ((self.points[None] - ellipsoid[:, :3].view(shape)) / axes).square().sum(1)
        down = tissue.shape[2] // self.shape[1]
        within = (distance < 1) & (factor > 0).view(-1, 1, 1, 1)
        inside = within.repeat_interleave(down, 1).repeat_interleave(down, 2)[:, None]
        # Every grid is centred on x = 0.
        mirrored = tissue.flip(2)
        both = (tissue.amax(1, keepdim=True) > 0) & (mirrored.amax(1, keepdim=True) > 0)
        return torch.where(inside & both, mirrored, tissue)

    def tumour(self, ellipsoid: Tensor) -> Tensor:
        """Soft ellipsoids (B, h / px, w / py, Z / pz) of the tumours (``ellipsoid_of``)."""
        soft = draw_maps(ellipsoid, ellipsoid.new_ones(len(ellipsoid)), self.points)[:, -1:]
        return fold(soft, self.patch).mean(1)


def empty_space(
    shape: tuple[int, int, int, int], points: Tensor, settings: DenoiserSettings
) -> LatentSpace:
    """A plain space for latents (C, h, w, Z) that lie at ``points`` (mm)."""
    space = LatentSpace(shape, settings.patch)
    space.points.copy_(points)
    return space


def fit_latent_space(
    latents: NDArray | StoredRows, points: Tensor, settings: DenoiserSettings
) -> LatentSpace:
    """The space of training latents (N, C, h, w, Z) whose elements lie at ``points`` (mm).

    They are read one by one. Raises ``UserError`` for a single patient without copies, who has no
    spread.
    """
    space = empty_space(latents.shape[1:], points, settings)
    if settings.space == "plain":
        return space
    if len(latents) < 2:
        raise UserError(
            "the training latents are those of one patient without copies: they have no spread to "
            "learn; add patients or set autoencoder.copies"
        )
    mean, square = np.zeros(space.shape), np.zeros(space.shape)
    for latent in latents:
        exact = latent.astype(np.float64)
        mean += exact / len(latents)
        square += exact**2 / len(latents)
    sd = np.sqrt((square - mean**2).clip(0).mean((1, 2, 3)))
    space.mean.copy_(torch.from_numpy(mean))
    space.sd.copy_(torch.from_numpy(np.maximum(sd, SMALLEST_SHARE * sd.max())))
    return space


def map_channels(settings: DenoiserSettings, down: int) -> int:
    """How many maps stand beside the latents that the settings fold, of a grid that is ``down``
    times finer in x and y."""
    folded = int(np.prod(settings.patch))
    tumour = MAPS - 1 + folded if settings.maps else 0
    return tumour + (len(TISSUES) * down**2 * folded if settings.anatomy == "tissue" else 0)
