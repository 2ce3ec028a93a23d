"""Scores of the official BraTS evaluation: for the whole image, and for lesions.

They reproduce the values of the package ``brats-evaluation`` for its sample patients. The package
applies the voxel spacing to the axes in reverse order, which matters for anisotropic voxels; here
each axis has its own spacing.

- Border: voxels of a mask that an erosion with the 6-neighbourhood removes.
- Distances: from each border voxel of one mask to the nearest border voxel of the other.
- Lesion: connected component; voxels that touch at a corner are connected.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from workflow_scripts.common.masks import dice
from workflow_scripts.segmentation.metrics import cropped

# Tolerance for whole images, in voxels: borders agree if they share a voxel.
IMAGE_TOLERANCE_VOXELS = 0.5
# Two lesions are a pair only if their Dice is larger.
LEAST_DICE = 1e-6
# Relative tolerance: voxel sizes of single-precision affines differ in the seventh digit.
ROUNDING = 1e-5
TOUCHING = np.ones((3, 3, 3), bool)


def border(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices (N, 3) of a mask's (X, Y, Z) border voxels; the outside of the volume is empty."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask))


def border_distances(
    guess: NDArray[np.bool_], truth: NDArray[np.bool_], sides: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances from each border voxel of ``guess`` to the border of ``truth``, and back.

    Both masks (X, Y, Z) must not be empty. ``sides`` is the voxel size, which determines the unit
    of the distances: (1, 1, 1) for voxels.
    """
    one, other = border(guess), border(truth)
    sides = np.asarray(sides, np.float64)

    def nearest(points: NDArray, targets: NDArray) -> NDArray:
        neighbours = targets[KDTree(targets * sides).query(points * sides)[1]]
        # Computed from integer indices, so that equal distances are equal to the last bit.
        return np.linalg.norm((points - neighbours) * sides, axis=1)

    return nearest(one, other), nearest(other, one)


def pooled_hd95(distances: tuple[NDArray, NDArray]) -> float:
    """95th percentile of the pooled distances of both directions."""
    return float(np.percentile(np.concatenate(distances), 95))


def mean_share_within(distances: tuple[NDArray, NDArray], tolerance: float) -> float:
    """Mean over both directions of the share of distances up to ``tolerance``."""
    return float(np.mean([(each <= tolerance * (1 + ROUNDING)).mean() for each in distances]))


def image_scores(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Scores of a predicted region (X, Y, Z) as a whole.

    - ``official_dice``: overlap.
    - ``official_hd95_voxels``: 95th percentile of both directions' border distances pooled.
    - ``official_nsd``: mean of the two directions' shares of border voxels that lie within 0.5
      voxels of the other border, i.e. on it.

    If one of the masks is empty: 0, infinity, 0. If both are: NaN.
    """
    names = "official_dice", "official_hd95_voxels", "official_nsd"
    if not guess.any() or not truth.any():
        worst = (0.0, np.inf, 0.0) if guess.any() or truth.any() else (np.nan,) * 3
        return dict(zip(names, worst, strict=True))
    guess, truth = cropped(guess, truth)
    distances = border_distances(guess, truth, (1.0, 1.0, 1.0))
    nsd = mean_share_within(distances, IMAGE_TOLERANCE_VOXELS)
    return dict(zip(names, (dice(guess, truth), pooled_hd95(distances), nsd), strict=True))


def match_lesions(guesses: NDArray[np.integer], truths: NDArray[np.integer]) -> list[tuple]:
    """Matched pairs of lesions (number in ``guesses``, number in ``truths``).

    Both arrays (X, Y, Z) number their lesions from 1. Each lesion has at most one partner, and the
    sum of the pairs' Dice is maximal.
    """
    both = (guesses > 0) & (truths > 0)
    count = int(truths.max(initial=0)) + 1
    keys, shared = np.unique(
        guesses[both].astype(np.int64) * count + truths[both], return_counts=True
    )
    pairs = np.divmod(keys, count)
    ones, rows = np.unique(pairs[0], return_inverse=True)
    others, columns = np.unique(pairs[1], return_inverse=True)
    sizes = np.bincount(guesses.ravel())[pairs[0]] + np.bincount(truths.ravel())[pairs[1]]
    overlap = np.zeros((len(ones), len(others)))
    overlap[rows, columns] = 2 * shared / sizes
    row, column = linear_sum_assignment(overlap, maximize=True)
    kept = overlap[row, column] > LEAST_DICE
    return list(zip(ones[row[kept]].tolist(), others[column[kept]].tolist(), strict=True))


def _span(one: tuple[slice, ...], other: tuple[slice, ...]) -> tuple[slice, ...]:
    """The bounding box of two boxes."""
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )


def lesion_scores(
    guess: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> dict[str, float]:
    """Scores of a predicted region (X, Y, Z), lesion by lesion.

    Predicted and true lesions are matched one to one (``match_lesions``).

    - ``lesion_tp``, ``lesion_fp``, ``lesion_fn``: number of pairs, of predicted lesions without a
      partner, and of true ones without.
    - ``lesion_dice``, ``lesion_hd95_mm``, ``lesion_nsd``: means over the pairs; HD95 of both
      directions' border distances pooled, NSD as in ``image_scores`` with the voxel's smallest
      side as its tolerance. Lesions without a partner do not enter them.

    Without a pair: 0, infinity, 0. Without a lesion on either side: NaN.
    """
    if guess.any() or truth.any():
        guess, truth = cropped(guess, truth)
    guesses, n_guesses = ndimage.label(guess, TOUCHING)
    truths, n_truths = ndimage.label(truth, TOUCHING)
    pairs = match_lesions(guesses, truths)
    guess_boxes, truth_boxes = ndimage.find_objects(guesses), ndimage.find_objects(truths)
    rows = []
    for number, partner in pairs:
        box = _span(guess_boxes[number - 1], truth_boxes[partner - 1])
        one, other = guesses[box] == number, truths[box] == partner
        distances = border_distances(one, other, spacing_mm)
        share = mean_share_within(distances, min(spacing_mm))
        rows.append((dice(one, other), pooled_hd95(distances), share))
    counts = {
        "lesion_tp": len(pairs),
        "lesion_fp": n_guesses - len(pairs),
        "lesion_fn": n_truths - len(pairs),
    }
    without = (0.0, np.inf, 0.0) if n_guesses or n_truths else (np.nan,) * 3
    means = np.mean(rows, axis=0).tolist() if rows else without
    names = "lesion_dice", "lesion_hd95_mm", "lesion_nsd"
    return counts | dict(zip(names, means, strict=True))
