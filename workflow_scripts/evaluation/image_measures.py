"""Measures of a patient's images and label: detail inside and outside the tumour, tissue contrast,
symmetry, holes in labels and torn brains."""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import brain_pieces, hole_voxels
from workflow_scripts.common.mni152 import mni152
from workflow_scripts.common.patients import Patient

# Standard deviation, in voxels, of the Gaussian whose residual is fine detail.
DETAIL_VOXELS = 1.5
# The same for white matter, which has little structure of its own: the residual is grain.
GRAIN_VOXELS = 0.8
# Only voxels farther than this from the tumour are measured.
FROM_TUMOUR_VOXELS = 4
# Share of a tumour's voxels that count as bright, and the smallest tumour to measure.
BRIGHT, PIECE_VOXELS = 0.25, 50
# Share of a tissue in the template above which a voxel counts as that tissue.
TISSUE = 0.8

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


def away_from(tumour: Mask, inside: Mask) -> Mask:
    """Voxels (X, Y, Z) ``inside`` that are farther than ``FROM_TUMOUR_VOXELS`` from a tumour."""
    if not tumour.any():
        return inside
    return inside & (ndimage.distance_transform_edt(~tumour) > FROM_TUMOUR_VOXELS)


def fine_detail(image: NDArray, inside: Mask, where: Mask) -> Values:
    """Standard deviation over ``where`` (X, Y, Z) of each modality of ``image`` (M, X, Y, Z) minus
    its Gaussian of ``DETAIL_VOXELS``.

    The Gaussian is restricted to the voxels ``inside``, so that the outline is not detail. Blur
    lowers the value, noise raises it.
    """
    weight = ndimage.gaussian_filter(inside.astype(np.float32), DETAIL_VOXELS)[where]
    details = []
    for volume in image:
        smooth = ndimage.gaussian_filter(volume * inside, DETAIL_VOXELS)[where] / weight
        details.append((volume[where] - smooth).std() if where.any() else np.nan)
    return np.array(details, dtype=float)


def bright_in_one_piece(image: NDArray, tumour: Mask) -> Values:
    """Share of the brightest ``BRIGHT`` of a tumour's voxels (X, Y, Z) that lies in their largest
    piece, for each modality of ``image`` (M, X, Y, Z): a rim is one piece, a mottled tumour has
    many. NaN for tumours of fewer than ``PIECE_VOXELS``."""
    if tumour.sum() < PIECE_VOXELS:
        return np.full(len(image), np.nan)
    shares = []
    for volume in image:
        bright = tumour & (volume >= np.quantile(volume[tumour], 1 - BRIGHT))
        pieces, _ = ndimage.label(bright)
        shares.append(np.bincount(pieces[bright]).max() / bright.sum())
    return np.array(shares, dtype=float)


def white_matter_detail(image: NDArray, deep_white: Mask) -> tuple[Values, Values]:
    """Grain and stripes of each modality of ``image`` (M, X, Y, Z) in ``deep_white`` (X, Y, Z): the
    median absolute difference from a Gaussian of ``GRAIN_VOXELS``, and from one axial slice to the
    next. NaN without a voxel.

    White matter is homogeneous in patients. It reveals grain and stripes that ``fine_detail`` and
    ``slice_ratio`` cannot distinguish from sulci.
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
    """Masks (X, Y, Z) of grey matter and of white matter in MNI152: voxels in which the mean of the
    template's map is above ``TISSUE``."""
    masks = []
    for name in ("gm", "wm"):
        array, affine = mni152(name)
        step = np.array(grid.spacing_mm) / np.abs(np.diag(affine)[:3])
        # The mean over a box as wide as a voxel.
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
    """Mean of white matter minus mean of grey matter, over the standard deviation, of each modality
    of ``image`` (M, X, Y, Z) in ``where``; the tissues are the template's masks (X, Y, Z). NaN
    without a voxel of either."""
    grey, white = grey & where, white & where
    if not grey.any() or not white.any():
        return np.full(len(image), np.nan)
    step = image[:, white].mean(1) - image[:, grey].mean(1)
    return (step / image[:, where].std(1)).astype(float)


def left_right_correlation(image: NDArray, where: Mask) -> Values:
    """Pearson's correlation of each modality of ``image`` (M, X, Y, Z) with its mirror image about
    the mid-sagittal plane, over the voxels that lie in ``where`` on both sides. NaN if there are
    none."""
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
    """All measures of a patient by name and modality: fine detail, grain and stripes of white
    matter, fine detail and bright piece of the tumour, grey-white contrast, left-right
    correlation."""
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
    """Whether a patient's whole tumour has 3-D holes."""
    return hole_voxels(patient.label() > 0) > 0


def is_torn(patient: Patient, grid: Grid) -> bool:
    """Whether a patient's brain has more than one piece (``masks.brain_pieces``)."""
    return brain_pieces(patient.image(), grid.voxel_ml) > 1
