"""Outlines: a tumour's mask becomes rougher or smoother until it is as spherical as requested.

A layout is coarser than the grid, so its outline is smoother than a tumour's.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.attributes import sphericity
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import largest_voxels

Mask = NDArray[np.bool_]

# Standard deviation of the Gaussian that smooths the noise of an outline: in mm, and at most as a
# share of the radius of a ball of the tumour's volume.
ROUGHNESS_MM, ROUGHNESS = 6.0, 0.25
# The outline is moved, or smoothed, by at most this share of that radius.
MOST = 0.8
# Halvings of the interval in which the amount is sought.
HALVINGS = 7
# How often detached pieces are removed, and as many voxels added elsewhere.
ATTEMPTS = 3


def _part_around(mask: Mask, reach_mm: float, grid: Grid) -> tuple[slice, ...]:
    """The box of a mask (X, Y, Z), wider by ``reach_mm`` on each side within the volume."""
    voxels = np.argwhere(mask)
    reach = np.ceil(reach_mm / np.array(grid.spacing_mm)).astype(int) + 1
    low, high = (voxels.min(0) - reach).clip(0), voxels.max(0) + reach + 1
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def _strays(changed: Mask, count: int) -> Mask:
    """All connected pieces of a mask (X, Y, Z) except the ``count`` largest, as a mask."""
    pieces, number = ndimage.label(changed)
    sizes = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
    return np.isin(pieces, 1 + np.argsort(-sizes, kind="stable")[count:])


def _balanced(
    noise: NDArray[np.float32], near: Mask, spacing: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Noise (X, Y, Z) without its linear trend, which would shift the tumour, and with a standard
    deviation of 1. Trend and deviation are those of the voxels ``near`` the outline, a mask
    (X, Y, Z); ``spacing`` is in mm."""
    positions = np.stack(np.indices(noise.shape), -1) * spacing
    terms = np.concatenate([np.ones((*noise.shape, 1)), positions], axis=-1)
    trend, *_ = np.linalg.lstsq(terms[near], noise[near], rcond=None)
    field = noise - terms @ trend
    return field / field[near].std()


def with_sphericity(
    mask: Mask, target: float, room: Mask, noise: NDArray[np.float32], grid: Grid
) -> Mask:
    """A mask (X, Y, Z) with as many voxels as ``mask`` (X, Y, Z), within ``room`` (X, Y, Z), whose
    sphericity is ``target`` (0 to 1).

    The voxels with the highest score are chosen, where the score starts as d, the signed distance
    to the outline in mm, positive inside. If ``mask`` is too spherical, the score is d + a f, where
    f is smoothed ``noise`` (X, Y, Z) with a standard deviation of 1: a is how far the outline
    moves, in mm. If it is not spherical enough, the score is d, smoothed by a Gaussian with a
    standard deviation of a mm. The amount a is the result of a bisection between 0 and ``MOST``
    radii; a target that is out of reach is met as nearly as possible.
    """
    # All is computed in the box that the outline can reach.
    count, spacing = int(mask.sum()), np.array(grid.spacing_mm)
    radius = (3 * count * float(spacing.prod()) / (4 * np.pi)) ** (1 / 3)
    most = MOST * radius
    part = _part_around(mask, 3 * most, grid)
    inside, allowed = mask[part], room[part]
    distance = ndimage.distance_transform_edt(np.pad(inside, 1), spacing)
    distance -= ndimage.distance_transform_edt(~np.pad(inside, 1), spacing)
    distance = distance[1:-1, 1:-1, 1:-1]
    smooth = ndimage.gaussian_filter(noise[part], min(ROUGHNESS_MM, ROUGHNESS * radius) / spacing)
    field = _balanced(smooth, np.abs(distance) <= most, spacing)
    pieces = ndimage.label(inside)[1]
    roughen = sphericity(inside, spacing) > target

    def changed(amount: float) -> Mask:
        score = distance + amount * field
        if not roughen:
            score = ndimage.gaussian_filter(distance, amount / spacing)
        # Symmetric masks have equal scores, which a little noise separates.
        score += 1e-6 * field
        score += 1 - score.min()
        result = largest_voxels(score, allowed, count)
        for _ in range(ATTEMPTS):
            strays = _strays(result, pieces)
            if not strays.any():
                break
            score[strays] = 0
            result = largest_voxels(score, allowed, count)
        return result

    low, high, best = 0.0, most, (np.inf, inside)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        outlined = changed(middle)
        reached = sphericity(outlined, spacing)
        # Sphericity is not monotonous in the amount, so the best outline is kept.
        best = min(best, (abs(reached - target), outlined), key=lambda pair: pair[0])
        enough = (reached > target) != roughen
        low, high = (low, middle) if enough else (middle, high)
    result = np.zeros_like(mask)
    result[part] = best[1]
    return result
