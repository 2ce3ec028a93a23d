"""The space in which the denoiser works: folded, centred and whitened latents."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.common.choice import evenly_chosen
from workflow_scripts.common.device import exact
from workflow_scripts.common.files import UserError
from workflow_scripts.common.fold import Patch, fold, unfold
from workflow_scripts.common.stored import StoredRows
from workflow_scripts.diffusion.conditions import MAPS, draw_maps
from workflow_scripts.diffusion.settings import DenoiserSettings

# Components and places with hardly any variance would otherwise be blown up without bound.
SMALLEST_SHARE = 1e-3
SMALLEST_SD = 0.05
# Where no training patient has anything, a sample must still be able to.
SMALLEST_VARIANCE = 1e-4
# The modes of a large cohort are those of this many, evenly chosen.
MODE_PATIENTS = 512
# As many modes as patients would span these, and leave nothing to all others.
PATIENTS_PER_MODE = 4


class LatentSpace(nn.Module):
    """Takes latents to where a diffusion model has least to learn, and back.

    Neighbouring latents, a ``patch`` along x, y and z, are folded into channels. Then the
    voxelwise ``mean`` is subtracted, the rest divided by ``sd``, its standard deviation by place,
    and the folded channels, which are strongly correlated since neighbours resemble each other,
    are whitened by their principal components. All of it comes from the training latents and is
    saved with the denoiser's weights. Before its first step the denoiser so gives samples of the
    right variance everywhere, with slices that agree.

    A ``centred`` space is not divided by the spread at each place (``sd`` is 1): where there are
    patients enough to learn from, places where they differ most may count most. Its components
    weigh in the loss by their standard deviation, those of other spaces by their variance. What
    each component varies by at each place, next to nothing outside the brain, is its ``variance``,
    empty in other spaces.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        patch: Patch,
        modes: int = 0,
        varies_by_place: bool = False,
    ) -> None:
        super().__init__()
        c, *size = shape
        self.shape, self.patch = tuple(shape), tuple(patch)
        folded = c * int(np.prod(patch))
        positions = [n // p for n, p in zip(size, patch, strict=True)]
        self.register_buffer("mean", torch.zeros(c, *size))
        self.register_buffer("sd", torch.ones(1, *size))
        # They follow from the grid, and are not kept with the weights.
        self.register_buffer("points", torch.zeros(3, *size), persistent=False)
        self.register_buffer("mix", torch.eye(folded))
        self.register_buffer("unmix", torch.eye(folded))
        self.register_buffer("weight", torch.ones(folded))
        self.register_buffer("variance", torch.ones(folded * varies_by_place, *positions))
        self.register_buffer("modes", torch.zeros(modes, int(np.prod(shape))))
        self.register_buffer("mode_variance", torch.ones(modes))
        self.register_buffer("rest_variance", torch.ones(()))

    def standardise(self, latent: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w, Z) to white ones (B, C · patch, h / px, w / py, Z / pz)."""
        folded = fold((latent - self.mean) / self.sd, self.patch)
        with exact(latent.device):
            return torch.einsum("ij,bjxyz->bixyz", self.unmix, folded)

    def restore(self, white: Tensor) -> Tensor:
        """The inverse of ``standardise``."""
        with exact(white.device):
            folded = torch.einsum("ij,bjxyz->bixyz", self.mix, white)
        return unfold(folded, self.patch) * self.sd + self.mean

    @property
    def is_gaussian(self) -> bool:
        """Whether more is known of the white latents than that their components vary by 1."""
        return len(self.modes) + len(self.variance) > 0

    def expected(self, x: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        """The white latents to expect behind ``x = signal · white + sigma · noise`` (B, …).

        The answer for Gaussian white latents: in a ``centred`` space of independent ones that vary
        by ``variance`` (Wiener's filter), else of ones whose covariance is that of the modes, and
        the same in all other directions (probabilistic PCA: Tipping & Bishop 1999, section 3.1).
        The network learns what is not Gaussian.
        """
        flat, signal, sigma = x.flatten(1), signal.view(-1, 1), sigma.view(-1, 1)

        def gain(variance: Tensor) -> Tensor:
            return signal * variance / (signal**2 * variance + sigma**2)

        if len(self.variance):
            return (gain(self.variance.flatten()) * flat).view_as(x)
        rest = gain(self.rest_variance)
        with exact(x.device):
            along = (flat @ self.modes.T) * (gain(self.mode_variance) - rest)
            return (rest * flat + along @ self.modes).view_as(x)

    def maps(self, place: Tensor, present: Tensor) -> Tensor:
        """Maps of ``draw_maps`` beside folded latents: position and offset, which are linear, by
        their mean over a patch, the ellipsoid folded as the latents are."""
        linear, ellipsoid = draw_maps(place, present, self.points).split([MAPS - 1, 1], 1)
        mean = functional.avg_pool3d(linear, self.patch)
        return torch.cat([mean, fold(ellipsoid, self.patch)], 1)

    def tumour(self, place: Tensor) -> Tensor:
        """Soft ellipsoids (B, h / px, w / py, Z / pz) of the tumours at ``place`` (B, 6)."""
        ellipsoid = draw_maps(place, place.new_ones(len(place)), self.points)[:, -1:]
        return fold(ellipsoid, self.patch).mean(1)


def empty_space(
    shape: tuple[int, int, int, int], points: Tensor, settings: DenoiserSettings
) -> LatentSpace:
    """The space that settings ask for, for latents (C, h, w, Z) that lie at ``points`` (mm); what
    it knows of them is still to be filled in."""
    space = LatentSpace(shape, settings.patch, settings.modes, settings.space == "centred")
    space.points.copy_(points)
    return space


def fit_latent_space(
    latents: NDArray | StoredRows, points: Tensor, place: Tensor, settings: DenoiserSettings
) -> LatentSpace:
    """The space of training latents (N, C, h, w, Z) whose elements lie at ``points`` (mm).

    ``place`` (N, 6) is that of the tumours. At most ``MODE_PATIENTS`` are held in memory. Raises
    ``UserError`` for a single patient without copies, who has no spread.
    """
    space = empty_space(latents.shape[1:], points, settings)
    if settings.space == "plain":
        return space
    if len(latents) < 2:
        raise UserError(
            f"diffusion.space: {settings.space} latents need the spread of two patients or copies "
            "at least; raise autoencoder.copies or cohort.splits.train_sizes"
        )
    mean = np.zeros(latents.shape[1:])
    for latent in latents:
        mean += latent.astype(float) / len(latents)
    space.mean.copy_(torch.from_numpy(mean))
    if settings.space == "white":
        variance = np.zeros(latents.shape[2:])
        for latent in latents:
            variance += ((latent - mean) ** 2).mean(0) / len(latents)
        # Few patients: the variance of one place is borrowed from its neighbourhood.
        sd = np.sqrt(ndimage.gaussian_filter(variance, (0.5, 0.5, 2.0)))
        sd = np.maximum(sd, SMALLEST_SD * sd.max())
        space.sd.copy_(torch.from_numpy(sd)[None])
    _whiten(space, latents)
    if settings.space == "centred":
        # Small components tell neighbouring slices apart; with a weight of their variance, a
        # hundredth of the largest, they would hardly be learned.
        space.weight.sqrt_()
        _fit_variance(space, latents)
    if settings.modes:
        _fit_modes(space, latents, place)
    return space


def _whiten(space: LatentSpace, latents: NDArray | StoredRows) -> None:
    """Whiten the folded channels of the latents, centred and divided by the spread."""
    covariance = torch.zeros(space.mix.shape, dtype=torch.double)
    for latent in latents:
        rest = (torch.from_numpy(latent.astype(np.float32)) - space.mean) / space.sd
        flat = fold(rest[None], space.patch)[0].flatten(1).double()
        covariance += flat @ flat.T / flat.shape[1] / len(latents)
    values, vectors = torch.linalg.eigh(covariance)
    values = values.clamp_min(SMALLEST_SHARE * values.max())
    # An eigenvector's sign is arbitrary: its largest entry is made positive.
    vectors = vectors * torch.sign(vectors.gather(0, vectors.abs().argmax(0, keepdim=True)))
    space.mix.copy_(vectors * values.sqrt())
    space.unmix.copy_((vectors / values.sqrt()).T)
    space.weight.copy_(values / values.mean())


def _fit_variance(space: LatentSpace, latents: NDArray | StoredRows) -> None:
    """Measure what each white component varies by at each place."""
    total = torch.zeros_like(space.variance)
    for latent in latents:
        total += space.standardise(torch.from_numpy(latent.astype(np.float32))[None])[0] ** 2
    space.variance.copy_((total / len(latents)).clamp_min(SMALLEST_VARIANCE))


def _fit_modes(space: LatentSpace, latents: NDArray | StoredRows, place: Tensor) -> None:
    """Principal components of whole white latents, without their tumours.

    A tumour in a component would be a ghost in every sample: where there is one the mean stands.
    Modes that few patients do not bear out stay empty.
    """
    chosen = evenly_chosen(len(latents), MODE_PATIENTS)
    rows = []
    for i in chosen:
        white = space.standardise(torch.from_numpy(latents[i].astype(np.float32))[None])
        rows.append((white * (1 - space.tumour(place[[i]])[:, None])).flatten())
    matrix = torch.stack(rows)
    count = min(len(space.modes), len(matrix) // PATIENTS_PER_MODE)
    if not count:
        return
    values, vectors = torch.linalg.eigh((matrix @ matrix.T).double() / len(matrix))
    values, vectors = values[-count:].float(), vectors[:, -count:].float()
    space.modes[:count].copy_((vectors / (len(matrix) * values).sqrt()).T @ matrix)
    space.mode_variance[:count].copy_(values)
    rest = matrix.square().sum() / len(matrix) - values.sum()
    space.rest_variance.copy_(rest / (matrix.shape[1] - count))


def map_channels(patch: Patch) -> int:
    """How many maps stand beside latents that are folded by ``patch``."""
    return MAPS - 1 + int(np.prod(patch))
