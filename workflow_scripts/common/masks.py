"""Masks: overlap, connected pieces, and the foreground of an image."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.grid import Grid

# Smaller pieces of a brain are not counted.
PIECE_ML = 1.0


def dice(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Dice ``2 |A ∩ B| / (|A| + |B|)``; 1 if both are empty."""
    total = int(guess.sum()) + int(truth.sum())
    return 2 * int((guess & truth).sum()) / total if total else 1.0


def largest_filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece of a mask, its holes filled."""
    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(pieces == sizes.argmax())


def hole_voxels(mask: NDArray[np.bool_]) -> int:
    """Number of voxels in the 3-D holes of a mask (X, Y, Z)."""
    return int(ndimage.binary_fill_holes(mask).sum()) - int(mask.sum())


def fill_holes(label: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fill the 3-D holes of a label (X, Y, Z) within ``where`` (X, Y, Z) with the class of the
    nearest labelled voxel."""
    holes = ndimage.binary_fill_holes(label > 0) & (label == 0) & where
    if not holes.any():
        return label
    nearest = ndimage.distance_transform_edt(
        label == 0, return_distances=False, return_indices=True
    )
    return np.where(holes, label[tuple(nearest)], label)


def large_pieces(mask: NDArray[np.bool_], least_voxels: int) -> int:
    """Number of a mask's (X, Y, Z) connected pieces with at least ``least_voxels`` voxels.

    Voxels that touch at a corner are connected. A whole brain is one piece, a torn one several.
    """
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return int((np.bincount(pieces.ravel())[1:] >= least_voxels).sum())


def largest_voxels(score: NDArray, allowed: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Mask (X, Y, Z) of the ``count`` voxels in ``allowed`` (X, Y, Z) that have the highest
    positive ``score`` (X, Y, Z).

    Voxels that share the lowest score among them are all in it. It is empty for a ``count`` of 0
    or less, and has all allowed voxels of a positive score where there are fewer than ``count``.
    """
    if count <= 0:
        return np.zeros_like(allowed)
    values = score[allowed & (score > 0)]
    if count >= len(values):
        return allowed & (score > 0)
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    return allowed & (score >= threshold)


def bright(image: NDArray) -> NDArray[np.bool_]:
    """Mask (X, Y, Z) of voxels of a skull-stripped image (M, X, Y, Z), 0 to 1, that are bright in
    any modality."""
    return image.max(0) > 0.08


def brain_pieces(image: NDArray, voxel_ml: float) -> int:
    """Number of pieces of at least ``PIECE_ML`` in the bright mask of an image (M, X, Y, Z): 1 for
    a whole brain, more for a torn one."""
    return large_pieces(bright(image), math.ceil(PIECE_ML / voxel_ml))


def foreground(image: NDArray) -> NDArray[np.bool_]:
    """Foreground (X, Y, Z) of a skull-stripped image (M, X, Y, Z), 0 to 1: its largest bright
    piece, with holes filled.

    Outside the brain, preprocessed images are exactly 0, whereas a decoder leaves a little noise.
    This mask is defined in the same way for real, decoded and synthetic patients. A brain mask,
    which includes the dark fluid at the brain's surface, exists for real patients only.
    """
    return largest_filled(bright(image))


def distance_mm(tumour: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Distance (X, Y, Z) in mm of each voxel from a tumour's mask, 0 inside; infinity without a
    tumour."""
    if not tumour.any():
        return np.full(tumour.shape, np.inf)
    return ndimage.distance_transform_edt(~tumour, grid.spacing_mm)
