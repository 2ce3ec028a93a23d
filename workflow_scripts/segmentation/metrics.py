"""Dice, HD95, surface Dice and volume error of a predicted region; missed regions are scored."""

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.masks import dice


def diagonal_mm(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> float:
    """Length of the volume's diagonal, the HD95 of a missed region."""
    return float(np.linalg.norm(np.array(shape) * np.array(spacing_mm)))


def cropped(
    guess: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both masks (X, Y, Z), of which one is not empty, cropped to their common bounding box."""
    box = ndimage.find_objects((guess | truth).view(np.uint8))[0]
    return guess[box], truth[box]


def region_scores(
    guess: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float,
) -> dict[str, float]:
    """Scores of a predicted region (X, Y, Z) against its reference.

    - ``dice``: overlap.
    - ``hd95_mm``: the larger of both directions' 95th percentiles of surface distances.
    - ``nsd``: share of both surfaces that lies within ``tolerance_mm`` of the other one (Nikolov et
      al. 2021, doi:10.2196/26151), with sub-voxel surfaces.
    - ``volume_error_ml``: predicted minus true volume.

    If both are empty, the agreement is perfect: 1, 0 mm, 1. If only one is, the region is missed or
    a false positive: 0, the volume's diagonal, 0.
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    scores = {"dice": dice(guess, truth)}
    if not guess.any() or not truth.any():
        agree = not guess.any() and not truth.any()
        scores["hd95_mm"] = 0.0 if agree else diagonal_mm(truth.shape, spacing_mm)
        scores["nsd"] = float(agree)
    else:
        # Cropped, since native volumes are mostly empty. MONAI treats the outside as background.
        box = cropped(guess, truth)
        pair = [torch.from_numpy(np.ascontiguousarray(m))[None, None] for m in box]
        options = {"include_background": True, "spacing": list(spacing_mm)}
        scores["hd95_mm"] = float(compute_hausdorff_distance(*pair, percentile=95, **options))
        surface = compute_surface_dice(*pair, [tolerance_mm], use_subvoxels=True, **options)
        scores["nsd"] = float(surface)
    scores["volume_error_ml"] = (int(guess.sum()) - int(truth.sum())) * voxel_ml
    return scores
