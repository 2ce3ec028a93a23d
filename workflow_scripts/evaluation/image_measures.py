"""What a patient's images and label look like: detail, away from the tumour and in it; tissues and
symmetry, away from it; holes and tears."""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import brain_pieces, hole_voxels
from workflow_scripts.common.mni152 import mni152
from workflow_scripts.common.patients import Patient

# Structures that a Gaussian of so many voxels smooths away count as fine detail.
DETAIL_VOXELS = 1.5
# The same of white matter, whose own structures are few: what is left is grain.
GRAIN_VOXELS = 0.8
# Voxels that are farther than this from the tumour are judged.
FROM_TUMOUR_VOXELS = 4
# Share of a tumour's voxels that are its bright ones, and the least voxels of a tumour measured.
BRIGHT, PIECE_VOXELS = 0.25, 50
# Share of a tissue from which a template voxel is taken for that tissue.
TISSUE = 0.8

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


def away_from(tumour: Mask, inside: Mask) -> Mask:
    """Voxels (X, Y, Z) ``inside`` that are farther than ``FROM_TUMOUR_VOXELS`` from a tumour."""
    if not tumour.any():
        return inside
    return inside & (ndimage.distance_transform_edt(~tumour) > FROM_TUMOUR_VOXELS)


def fine_detail(image: NDArray, inside: Mask, where: Mask) -> Values:
    """Standard deviation over ``where`` (X, Y, Z) of what a Gaussian of ``DETAIL_VOXELS`` takes
    from each modality of ``image`` (M, X, Y, Z).

    The Gaussian is of the voxels ``inside`` alone, so that the outline is no detail. A blurred
    image has less of it, a noisy one more.
    """
    weight = ndimage.gaussian_filter(inside.astype(np.float32), DETAIL_VOXELS)[where]
    details = []
    for volume in image:
        smooth = ndimage.gaussian_filter(volume * inside, DETAIL_VOXELS)[where] / weight
        details.append((volume[where] - smooth).std() if where.any() else np.nan)
    return np.array(details, dtype=float)


def bright_in_one_piece(image: NDArray, tumour: Mask) -> Values:
    """Share of the brightest ``BRIGHT`` of a tumour's voxels (X, Y, Z) that lies in their largest
    piece, of each modality of ``image`` (M, X, Y, Z): a rim is one piece, mottle is many. NaN for
    tumours of fewer than ``PIECE_VOXELS``."""
    if tumour.sum() < PIECE_VOXELS:
        return np.full(len(image), np.nan)
    shares = []
    for volume in image:
        bright = tumour & (volume >= np.quantile(volume[tumour], 1 - BRIGHT))
        pieces, _ = ndimage.label(bright)
        shares.append(np.bincount(pieces[bright]).max() / bright.sum())
    return np.array(shares, dtype=float)


def white_matter_detail(image: NDArray, deep_white: Mask) -> tuple[Values, Values]:
    """Of each modality of ``image`` (M, X, Y, Z) in ``deep_white`` (X, Y, Z): the median absolute
    difference from a Gaussian of ``GRAIN_VOXELS``, and from one axial slice to the next. NaN
    without a voxel.

    White matter is even in patients. Grain and stripes show there that ``fine_detail`` and
    ``slice_ratio`` cannot tell from folds.
    """
    if not deep_white.any():
        return np.full((2, len(image)), np.nan)
    both = deep_white[:, :, 1:] & deep_white[:, :, :-1]
    grain, stripes = [], []
    for volume in image:
        smooth = ndimage.gaussian_filter(volume, GRAIN_VOXELS)
        grain.append(np.median(np.abs(volume - smooth)[deep_white]))
        steps = np.abs(np.diff(volume, axis=2))[both]
        stripes.append(np.median(steps) if steps.size else np.nan)
    return np.array(grain, dtype=float), np.array(stripes, dtype=float)


@functools.cache
def template_tissues(grid: Grid) -> tuple[Mask, Mask]:
    """Voxels (X, Y, Z) of the grid that are grey matter and that are white matter in MNI152: those
    where the mean of the template's map over the voxel is above ``TISSUE``."""
    masks = []
    for name in ("gm", "wm"):
        array, affine = mni152(name)
        step = np.array(grid.spacing_mm) / np.abs(np.diag(affine)[:3])
        # A box as wide as a voxel: the mean over it.
        mean = array.astype(np.float32) / 255
        for axis, width in enumerate(np.maximum(1, step.round()).astype(int)):
            mean = ndimage.uniform_filter1d(mean, int(width), axis)
        to_template = np.linalg.inv(affine) @ grid.affine
        share = ndimage.affine_transform(
            mean, to_template[:3, :3], to_template[:3, 3], grid.shape, order=1
        )
        masks.append(share > TISSUE)
    return masks[0], masks[1]


def grey_white_contrast(image: NDArray, where: Mask, grey: Mask, white: Mask) -> Values:
    """Mean of white less mean of grey matter over the standard deviation, of each modality of
    ``image`` (M, X, Y, Z) and of voxels in ``where``; the tissues are the template's, masks
    (X, Y, Z). NaN without a voxel of either."""
    grey, white = grey & where, white & where
    if not grey.any() or not white.any():
        return np.full(len(image), np.nan)
    step = image[:, white].mean(1) - image[:, grey].mean(1)
    return (step / image[:, where].std(1)).astype(float)


def left_right_correlation(image: NDArray, where: Mask) -> Values:
    """Pearson's correlation of each modality of ``image`` (M, X, Y, Z) with its mirror image about
    the grid's middle plane along x, the mid-sagittal one, over the voxels that lie in ``where`` on
    both sides. NaN where there are none."""
    both = where & where[::-1]
    if both.sum() < 2:
        return np.full(len(image), np.nan)
    mirrored = image[:, ::-1]
    return np.array(
        [np.corrcoef(a[both], b[both])[0, 1] for a, b in zip(image, mirrored, strict=True)]
    )


def image_measures(
    patient: Patient, grid: Grid, modalities: Sequence[str]
) -> dict[tuple[str, str], float]:
    """Fine detail, grain and stripes of white matter, fine detail of the tumour, how much of its
    bright voxels is one piece, grey-white contrast and left-right correlation of a patient by
    measure and modality."""
    image, inside, tumour = patient.image(), patient.foreground(), patient.label() > 0
    where = away_from(tumour, inside)
    grey, white = template_tissues(grid)
    grain, stripes = white_matter_detail(image, where & ndimage.binary_erosion(white))
    measures = {
        "fine_detail": fine_detail(image, inside, where),
        "white_matter_grain": grain,
        "white_matter_stripes": stripes,
        "tumour_detail": fine_detail(image, inside, tumour & inside),
        "bright_in_one_piece": bright_in_one_piece(image, tumour & inside),
        "grey_white_contrast": grey_white_contrast(image, where, grey, white),
        "left_right_correlation": left_right_correlation(image, where),
    }
    return {
        (measure, modality): float(value)
        for measure, values in measures.items()
        for modality, value in zip(modalities, values, strict=True)
    }


def has_holes(patient: Patient) -> bool:
    """Whether a 3-D filling of holes adds a voxel to a patient's whole tumour."""
    return hole_voxels(patient.label() > 0) > 0


def is_torn(patient: Patient, grid: Grid) -> bool:
    """Whether a patient's brain has more than one piece (``masks.brain_pieces``)."""
    return brain_pieces(patient.image(), grid.voxel_ml) > 1
