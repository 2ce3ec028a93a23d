"""A linear correction of the denoiser's estimate, by tissue and noise level.

A denoiser that was fine-tuned briefly removes noise less well than a linear filter behind it does.
Latents of patients vary otherwise than those of a prior's phantoms: by channel, by tissue and by
size of detail. The filter is fitted to training latents in closed form (ridge regression).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor, nn
from torch.nn import functional

# Noise levels at which the weights are fitted, each ``RATIO`` times the one before.
FIRST, RATIO, COUNT = 0.1, 1.8, 12
LEVELS = tuple(FIRST * RATIO**k for k in range(COUNT))
# Parts of the head with weights of their own: the three tissues, tumour, outside the brain.
PARTS = 5
TUMOUR = 3
# Means of neighbours that are inputs of the filter: each latent itself, its four neighbours in the
# slice, and the four across corners; each of these in the same slice, and in the two next ones.
RINGS, SLICES = 3, 2
# Blocks of the head along each axis, some 24 mm wide, and the noise level at which half of what
# changes from block to block is corrected. Few patients say little about such wide detail, and the
# less, the noisier it is.
BLOCKS = (8, 8, 6)
HALF_OF_WIDE = 3.2
# Added to the diagonal of the normal equations, as a share of its mean.
RIDGE = 1e-3
# Latents of a sample outside the tumour from which the weights are fitted, and above how much
# tumour a latent is taken in any case.
MOST_LATENTS = 16384
LEAST_TUMOUR = 0.05
# A smaller share of a part is passed over in the fit.
LEAST_SHARE = 1e-3


def inputs_per_part(channels: int) -> int:
    """Inputs of the filter, for so many channels of the latents."""
    estimate_and_noisy = 2 * channels * RINGS * SLICES
    return estimate_and_noisy + channels * SLICES + 1


def head_parts(tissue: Tensor, soft: Tensor) -> Tensor:
    """Shares of the ``PARTS`` in each latent (B, 5, h, w, Z), which sum to 1, from fractions of
    three tissues (B, 3, h, w, Z) and soft ellipsoids of tumours (B, 1, h, w, Z)."""
    brain = tissue.sum(1, keepdim=True).clamp(0, 1)
    return torch.cat([tissue * (1 - soft), brain * soft, 1 - brain], 1)


def _both_sides(latents: Tensor, axis: int) -> Tensor:
    """Sum of the two neighbours of each latent along an axis, 0 beyond the border."""
    count = latents.shape[axis] - 1
    total = torch.zeros_like(latents)
    total.narrow(axis, 0, count).add_(latents.narrow(axis, 1, count))
    total.narrow(axis, 1, count).add_(latents.narrow(axis, 0, count))
    return total


def slice_means(latents: Tensor) -> Tensor:
    """Latents (B, C, h, w, Z) and the means of the two next slices (B, 2 · C, h, w, Z)."""
    return torch.cat([latents, _both_sides(latents, 4) / 2], 1)


def neighbour_means(latents: Tensor) -> Tensor:
    """``RINGS`` · ``SLICES`` means (B, 6 · C, h, w, Z) of latents (B, C, h, w, Z), ring by ring."""
    near = slice_means(latents)
    rows = _both_sides(near, 2)
    sides, corners = rows + _both_sides(near, 3), _both_sides(rows, 3)
    return torch.cat([near, sides / 4, corners / 4], 1)


def wide_part(latents: Tensor) -> Tensor:
    """What of latents (B, C, h, w, Z) changes from block to block: means over ``BLOCKS``, linearly
    interpolated."""
    size = latents.shape[2:]
    blocks = tuple(min(pair) for pair in zip(BLOCKS, size, strict=True))
    means = functional.adaptive_avg_pool3d(latents, blocks)
    return functional.interpolate(means, size, mode="trilinear", align_corners=False)


@dataclass(frozen=True)
class Surroundings:
    """What the correction is told of samples: ``parts`` (B, 5, h, w, Z) of the head from
    ``head_parts``, and means of the ``rendered`` latents (B, 2 · C, h, w, Z) in the denoiser's
    space (``slice_means``)."""

    parts: Tensor
    rendered: Tensor

    def filter_inputs(self, estimate: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Inputs of the filter (B, K, h, w, Z) for estimates of the latents and noisy latents
        (B, C, h, w, Z) at noise levels (B,)."""
        scale = (sigma.view(-1, 1, 1, 1, 1) ** 2 + 1).sqrt()
        inputs = [
            neighbour_means(estimate),
            neighbour_means(noisy / scale),
            self.rendered,
            torch.ones_like(estimate[:, :1]),
        ]
        return torch.cat(inputs, 1)


class Correction(nn.Module):
    """Adds a linear function of the estimate, the noisy latents and the rendered ones to the
    estimate.

    ``weights`` (levels, parts, K, C) are those at ``LEVELS``. Between two levels they are
    interpolated in the logarithm of the noise level. Below the first they fall with its square, as
    the error that can be corrected does; above the last they stay. Of the ``wide_part`` of what is
    added, a share 1 / (1 + (sigma / ``HALF_OF_WIDE``)²) is kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        shape = len(LEVELS), PARTS, inputs_per_part(channels), channels
        self.register_buffer("weights", torch.zeros(shape))

    def at(self, sigma: Tensor) -> Tensor:
        """Weights (B, parts, K, C) at noise levels (B,)."""
        position = (sigma / FIRST).log() / torch.tensor(RATIO).log()
        inside = position.clamp(0, COUNT - 1)
        lower = inside.floor().long().clamp_max(COUNT - 2)
        share = (inside - lower).view(-1, 1, 1, 1)
        weights = self.weights[lower] * (1 - share) + self.weights[lower + 1] * share
        return weights * (sigma / FIRST).clamp_max(1).square().view(-1, 1, 1, 1)

    def forward(
        self, estimate: Tensor, noisy: Tensor, sigma: Tensor, surroundings: Surroundings
    ) -> Tensor:
        """Corrected estimates (B, C, h, w, Z) of the latents behind ``noisy`` (B, C, h, w, Z) at
        noise levels (B,)."""
        corrected = []
        # One by one: the filter's inputs are many times as large as the latents.
        for row, weights in enumerate(self.at(sigma)):
            one = slice(row, row + 1)
            around = Surroundings(surroundings.parts[one], surroundings.rendered[one])
            inputs = around.filter_inputs(estimate[one], noisy[one], sigma[one])
            by_part = torch.einsum("pkc,bkxyz->bpcxyz", weights, inputs)
            added = (by_part * around.parts[:, :, None]).sum(1)
            kept = 1 / (1 + (sigma[row] / HALF_OF_WIDE) ** 2)
            corrected.append(estimate[one] + added - (1 - kept) * wide_part(added))
        return torch.cat(corrected)


@dataclass(frozen=True)
class Example:
    """A training sample: latents (1, C, h, w, Z) in the denoiser's space, its surroundings, and
    the denoiser's estimate (1, C, h, w, Z) from noisy latents at noise levels (1,)."""

    latents: Tensor
    surroundings: Surroundings
    estimate: Callable[[Tensor, Tensor], Tensor]


def _chosen(parts: Tensor, random: torch.Generator) -> Tensor:
    """Indices of the latents of a sample that are fitted: the tumour's, and others at random."""
    tumour = parts[0, TUMOUR].flatten() > LEAST_TUMOUR
    rest = (~tumour).nonzero()[:, 0]
    order = torch.randperm(len(rest), generator=random)[:MOST_LATENTS].to(rest.device)
    return torch.cat([tumour.nonzero()[:, 0], rest[order]])


def _normal_equations(
    shares: Tensor, inputs: Tensor, error: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squares (P · K, P · K) and products (P · K, C) of one sample, from shares of the parts
    (P, n), the filter's inputs (K, n) and the error (C, n).

    Most latents belong to one or two parts, so that blocks of two parts have few latents.
    """
    count, size = len(inputs), len(shares) * len(inputs)
    squares, products = np.zeros((size, size)), np.zeros((size, len(error)))
    for p, own in enumerate(shares):
        rows = slice(p * count, (p + 1) * count)
        for q, other in enumerate(shares[: p + 1]):
            columns = slice(q * count, (q + 1) * count)
            both = ((own > LEAST_SHARE) & (other > LEAST_SHARE)).nonzero()[:, 0]
            here = inputs[:, both]
            block = ((own * other)[both] * here) @ here.T
            squares[rows, columns] = block.double().cpu()
            squares[columns, rows] = squares[rows, columns].T
        own_latents = (own > LEAST_SHARE).nonzero()[:, 0]
        weighted = own[own_latents] * inputs[:, own_latents]
        products[rows] = (weighted @ error[:, own_latents].T).double().cpu()
    return squares, products


def fit_correction(examples: Iterable[Example], channels: int, seed: int) -> Correction:
    """The correction that fits examples best, which are read one by one."""
    correction = Correction(channels)
    levels, parts, inputs, _ = correction.weights.shape
    unknowns = parts * inputs
    squares = np.zeros((levels, unknowns, unknowns))
    products = np.zeros((levels, unknowns, channels))
    for row, example in enumerate(examples):
        random = torch.Generator().manual_seed(seed * 1_000_003 + row)
        latents, around = example.latents, example.surroundings
        chosen = _chosen(around.parts, random)
        share = around.parts[0].flatten(1)[:, chosen]
        for level, value in enumerate(LEVELS):
            sigma = latents.new_full((1,), value)
            noise = torch.randn(latents.shape, generator=random).to(latents)
            noisy = latents + value * noise
            estimate = example.estimate(noisy, sigma)
            error = (latents - estimate)[0].flatten(1)[:, chosen]
            known = around.filter_inputs(estimate, noisy, sigma)[0].flatten(1)[:, chosen]
            more_squares, more_products = _normal_equations(share, known, error)
            squares[level] += more_squares
            products[level] += more_products
    for level, (left, right) in enumerate(zip(squares, products, strict=True)):
        left[np.diag_indices(unknowns)] += RIDGE * np.diagonal(left).mean()
        solved = linalg.solve(left, right, assume_a="pos")
        correction.weights[level] = torch.from_numpy(solved).view(parts, inputs, channels)
    return correction
