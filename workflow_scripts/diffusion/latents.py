"""The space in which the denoiser works: centred latents, folded.

Shapes: C channels, h × w elements of a slice, Z slices, and patches of px × py × pz elements.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.common.files import UserError
from workflow_scripts.common.fold import Patch, fold, unfold
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.stored import StoredRows
from workflow_scripts.common.subsets import evenly_chosen
from workflow_scripts.diffusion.conditions import MAPS, draw_maps, latent_points
from workflow_scripts.diffusion.correction import Surroundings, head_parts, slice_means
from workflow_scripts.diffusion.settings import DenoiserSettings
from workflow_scripts.preprocess.contrasts import REGION_VALUES, TERMS
from workflow_scripts.preprocess.tissue import TISSUES

# Smallest standard deviation of a channel, as a share of the largest one: a channel that hardly
# varies would otherwise be scaled up without bound.
SMALLEST_SHARE = 1e-3
# Training samples whose contrasts are kept. Each synthetic patient has those of one of them.
KEPT = 256


class LatentSpace(nn.Module):
    """Maps latents into the space in which the denoiser works, and back.

    ``z = fold((latent - mean) / sd)``: the ``mean`` (C, h, w, Z) of each element is subtracted,
    each channel is divided by its standard deviation ``sd`` (C), and the elements of a ``patch``
    (px, py, pz) are folded into channels. In a plain space, mean is 0 and sd is 1. With an anatomy,
    the latents here are differences from the ``rendered`` ones.

    Mean and deviation are those of the training latents. They are saved with the denoiser's
    weights. So are, with an anatomy and for images of M ``modalities``, the ``contrasts``
    (``KEPT``, 3, ``TERMS``, M) of tissues and the ``intensities`` (``KEPT``, 3, M) of tumour
    regions in training samples.
    """

    def __init__(self, shape: tuple[int, int, int, int], patch: Patch, modalities: int = 0) -> None:
        super().__init__()
        c, *size = shape
        self.shape, self.patch = tuple(shape), tuple(patch)
        self.register_buffer("mean", torch.zeros(c, *size))
        self.register_buffer("sd", torch.ones(c))
        kept = torch.zeros(KEPT if modalities else 0, len(TISSUES), TERMS, modalities)
        self.register_buffer("contrasts", kept)
        self.register_buffer("intensities", torch.zeros(len(kept), len(REGION_VALUES), modalities))
        # Positions in mm. They follow from the grid, and are not saved with the weights.
        self.register_buffer("points", torch.zeros(3, *size), persistent=False)

    @property
    def folded_shape(self) -> tuple[int, int, int, int]:
        """Shape (C · px py pz, h / px, w / py, Z / pz) of the denoiser's input."""
        c, *size = self.shape
        positions = (n // p for n, p in zip(size, self.patch, strict=True))
        return c * int(np.prod(self.patch)), *positions

    def standardise(self, latent: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w, Z) as the denoiser's (B, C · px py pz, h / px, …)."""
        return fold((latent - self.mean) / self.sd.view(-1, 1, 1, 1), self.patch)

    def restore(self, centred: Tensor) -> Tensor:
        """The inverse of ``standardise``: scaled latents (B, C, h, w, Z)."""
        return unfold(centred, self.patch) * self.sd.view(-1, 1, 1, 1) + self.mean

    def beside(
        self,
        ellipsoid: Tensor,
        present: Tensor,
        tissue: Tensor,
        rendered: Tensor,
        settings: DenoiserSettings,
    ) -> Tensor:
        """Maps (B, m, h / px, w / py, Z / pz) beside the denoiser's latents, m as in
        ``map_channels``.

        With ``settings.maps``, those of ``draw_maps`` for ``ellipsoid`` (B, 6) and ``present``
        (B,): position and offset, which are linear, by their mean over a patch, the soft ellipsoid
        folded. With an anatomy, the ``tissue`` maps (B, 3, X, Y, Z), 0 to 255, scaled to 0 … 1, and
        the ``rendered`` latents (B, C, h, w, Z), both folded.
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
            maps.append(fold(rendered.to(ellipsoid), self.patch))
        return torch.cat(maps, 1)

    def surroundings(self, ellipsoid: Tensor, tissue: Tensor, rendered: Tensor) -> Surroundings:
        """The correction's inputs beside the latents, from ellipsoids (B, 6), tissue maps
        (B, 3, X, Y, Z), 0 to 255, and rendered latents (B, C, h, w, Z)."""
        down = tissue.shape[2] // self.shape[1]
        fractions = functional.avg_pool3d(tissue.to(ellipsoid) / 255, (down, down, 1))
        known = ellipsoid.new_ones(len(ellipsoid))
        soft = draw_maps(ellipsoid, known, self.points)[:, -1:]
        scaled = (rendered.to(ellipsoid) - self.mean) / self.sd.view(-1, 1, 1, 1)
        return Surroundings(head_parts(fractions, soft), slice_means(scaled))

    def keep_contrasts(
        self, contrasts: NDArray[np.float32], intensities: NDArray[np.float32]
    ) -> None:
        """Store ``KEPT`` of N training samples: their contrasts (N, 3, ``TERMS``, M) and
        intensities of tumour regions (N, 3, M), without gaps.

        They are evenly spaced among the samples; if there are fewer, they are repeated.
        """
        chosen = evenly_chosen(len(contrasts), KEPT)
        rows = np.resize(np.asarray(chosen), KEPT)
        self.contrasts.copy_(torch.from_numpy(contrasts[rows]))
        self.intensities.copy_(torch.from_numpy(intensities[rows]))

    def tumour(self, ellipsoid: Tensor) -> Tensor:
        """Soft ellipsoids (B, h / px, w / py, Z / pz), 0 to 1, of the tumours with ellipsoids
        (B, 6), by their mean over a patch."""
        soft = draw_maps(ellipsoid, ellipsoid.new_ones(len(ellipsoid)), self.points)[:, -1:]
        return fold(soft, self.patch).mean(1)


def empty_space(
    shape: tuple[int, int, int, int], grid: Grid, modalities: int, settings: DenoiserSettings
) -> LatentSpace:
    """A plain space for latents of ``shape`` (C, h, w, Z) on a grid, from images of so many
    modalities."""
    anatomy_modalities = modalities if settings.anatomy == "tissue" else 0
    space = LatentSpace(shape, settings.patch, anatomy_modalities)
    space.points.copy_(latent_points(grid, grid.shape[0] // shape[1]))
    return space


def fit_latent_space(
    latents: NDArray | StoredRows,
    rendered: NDArray | StoredRows | None,
    grid: Grid,
    modalities: int,
    settings: DenoiserSettings,
) -> LatentSpace:
    """The space of training latents (N, C, h, w, Z) on a grid, without contrasts so far.

    ``rendered`` latents (N, C, h, w, Z) of the same patients are subtracted first, if there are
    any. Latents are read one at a time. Raises ``UserError`` for a single training sample, which
    has no standard deviation.
    """
    space = empty_space(latents.shape[1:], grid, modalities, settings)
    if settings.space == "plain":
        return space
    if len(latents) < 2:
        raise UserError(
            "the training latents are those of one patient without copies: they have no spread to "
            "learn; add patients or set autoencoder.copies"
        )
    # Mean of each element; variance of each channel, as the mean over its elements.
    mean, square = np.zeros(space.shape), np.zeros(space.shape)
    for row, latent in enumerate(latents):
        exact = latent.astype(np.float64)
        if rendered is not None:
            exact -= rendered[row]
        mean += exact / len(latents)
        square += exact**2 / len(latents)
    sd = np.sqrt((square - mean**2).clip(0).mean((1, 2, 3)))
    space.mean.copy_(torch.from_numpy(mean))
    space.sd.copy_(torch.from_numpy(np.maximum(sd, SMALLEST_SHARE * sd.max())))
    return space


def map_channels(settings: DenoiserSettings, down: int, channels: int) -> int:
    """Number of maps beside the denoiser's latents (``LatentSpace.beside``), for latents of so many
    ``channels`` whose elements are ``down`` × ``down`` × 1 voxels."""
    folded = int(np.prod(settings.patch))
    tumour = MAPS - 1 + folded if settings.maps else 0
    anatomy = (len(TISSUES) * down**2 + channels) * folded
    return tumour + (anatomy if settings.anatomy == "tissue" else 0)
