"""The space in which the denoiser works: centred latents, folded."""

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

# A channel that hardly varies would otherwise be blown up without bound.
SMALLEST_SHARE = 1e-3
# Training samples whose contrasts are kept, for synthetic patients to have one of them.
KEPT = 256


class LatentSpace(nn.Module):
    """Takes latents to where the denoiser works, and back.

    Where an anatomy is given, latents here are what the ``rendered`` ones leave: those of the brain
    without a tumour, or with its layout where that is drawn first. The voxelwise ``mean``
    (C, h, w, Z) is subtracted, each channel is divided by its standard deviation ``sd`` (C), and
    neighbouring latents, a ``patch`` along x, y and z, are folded into channels; a plain space
    leaves latents as they are, but for folding. Mean and deviation come from the training latents
    and are saved with the denoiser's weights, and so are the ``contrasts`` (``KEPT``, 3, ``TERMS``,
    M) and the ``intensities`` of tumour regions (``KEPT``, 3, M) of training samples, where an
    anatomy is given and images have M ``modalities``; none otherwise.
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
        self,
        ellipsoid: Tensor,
        present: Tensor,
        tissue: Tensor,
        rendered: Tensor,
        settings: DenoiserSettings,
    ) -> Tensor:
        """Maps (B, m, h / px, w / py, Z / pz) beside folded latents, as many as the settings want
        (``map_channels``).

        Of ``draw_maps``, position and offset, which are linear, by their mean over a patch, and the
        ellipsoid folded as the latents are; then, folded, the tissue maps (B, 3, X, Y, Z), 0 to
        255, and the ``rendered`` latents (B, C, h, w, Z).
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
        """What the correction is told of samples, from their ellipsoids (B, 6), tissue maps
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
        """Keep contrasts (N, 3, ``TERMS``, M) and complete intensities of tumour regions (N, 3, M)
        of training samples, evenly chosen, or again and again."""
        chosen = evenly_chosen(len(contrasts), KEPT)
        rows = np.resize(np.asarray(chosen), KEPT)
        self.contrasts.copy_(torch.from_numpy(contrasts[rows]))
        self.intensities.copy_(torch.from_numpy(intensities[rows]))

    def tumour(self, ellipsoid: Tensor) -> Tensor:
        """Soft ellipsoids (B, h / px, w / py, Z / pz) of the tumours (``ellipsoid_of``)."""
        soft = draw_maps(ellipsoid, ellipsoid.new_ones(len(ellipsoid)), self.points)[:, -1:]
        return fold(soft, self.patch).mean(1)


def empty_space(
    shape: tuple[int, int, int, int], grid: Grid, modalities: int, settings: DenoiserSettings
) -> LatentSpace:
    """A plain space for latents (C, h, w, Z) of a grid, of so many modalities."""
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
    """The space of training latents (N, C, h, w, Z) of a grid, less those of the same patients
    ``rendered``, where an anatomy is given; still without contrasts.

    They are read one by one. Raises ``UserError`` for a single patient without copies, who has no
    spread.
    """
    space = empty_space(latents.shape[1:], grid, modalities, settings)
    if settings.space == "plain":
        return space
    if len(latents) < 2:
        raise UserError(
            "the training latents are those of one patient without copies: they have no spread to "
            "learn; add patients or set autoencoder.copies"
        )
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
    """How many maps stand beside the latents of so many channels that the settings fold, of a grid
    that is ``down`` times finer in x and y."""
    folded = int(np.prod(settings.patch))
    tumour = MAPS - 1 + folded if settings.maps else 0
    anatomy = (len(TISSUES) * down**2 + channels) * folded
    return tumour + (anatomy if settings.anatomy == "tissue" else 0)
