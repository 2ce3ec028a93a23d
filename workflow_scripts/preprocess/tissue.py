"""Tissue maps: a patient's grey matter, white matter and CSF, as they would be without the tumour.

Expectation maximisation over the tissues' mean intensities in all modalities and their covariance,
with partial-volume voxels (Santago & Gage 1993), the template's tissue maps as spatial prior, and a
smooth bias field of each modality (Wells et al. 1996; Van Leemput et al. 1999).
"""

import functools
from collections.abc import Iterable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import distance_mm
from workflow_scripts.common.mni152 import mni152
from workflow_scripts.preprocess.volumes import grid_image, to_array, to_image

TISSUES = ("grey", "white", "csf")
# A patient's sulci are some millimetres from the template's.
PRIOR_SIGMA_MM = 3.0
# Added to the prior of each tissue, so that none is impossible anywhere in the brain.
PRIOR_FLOOR = 0.03
ITERATIONS = 15
# A voxel's fractions are multiples of one over this.
PARTS = 4
# Odds of a partial-volume voxel against one with a single tissue.
MIXED_ODDS = 0.3
# The model is fitted to at most this many voxels, evenly spaced.
FITTED_VOXELS = 60_000
# Degree of the polynomial for each modality's bias field.
FIELD_DEGREE = 2
# Added to the variances of intensities, which range from 0 to 1.
SMALLEST_VARIANCE = 1e-4
# Margin around the label (mm) that is not used as tissue.
MARGIN_MM = 3.0
# Number of quantiles that describe a distribution of fractions.
QUANTILES = 65


@functools.lru_cache(maxsize=2)
def tissue_prior(grid: Grid) -> NDArray[np.float32]:
    """Probability of each tissue (3, X, Y, Z): the MNI152 maps, smoothed; each voxel sums to 1.

    Outside the template's brain the three are equally likely.
    """
    (grey, affine), (white, _), (t1, _) = map(mni152, ("gm", "wm", "t1"))
    grey, white = grey / np.float32(255), white / np.float32(255)
    fluid = ((t1 > 0) - grey - white).clip(0, None)
    target, maps = grid_image(grid), []
    for tissue in (grey, white, fluid):
        # At 2 mm, which is fine enough after smoothing.
        half = sitk.BinShrink(to_image(tissue, affine), [2, 2, 2])
        smooth = sitk.SmoothingRecursiveGaussian(half, PRIOR_SIGMA_MM)
        maps.append(to_array(sitk.Resample(smooth, target, sitk.Transform(), sitk.sitkLinear, 0.0)))
    prior = np.stack(maps).clip(0, None) + np.float32(PRIOR_FLOOR)
    return prior / prior.sum(0)


def tissue_maps(image: NDArray, brain: NDArray, label: NDArray, grid: Grid) -> NDArray[np.float32]:
    """Fraction of each of ``TISSUES`` (3, X, Y, Z), 0 outside the brain, 1 in total inside.

    ``image`` (M, X, Y, Z) is normalised, 0 to 1; ``brain`` and ``label`` (X, Y, Z) are on ``grid``
    too. Voxels in the tumour (``label`` > 0) and its margin are taken from the other hemisphere:
    the voxel mirrored in the plane x = 0, or the prior if that is tumour or outside the brain as
    well.
    """
    prior, brain = tissue_prior(grid), np.asarray(brain) > 0
    result = np.zeros_like(prior)
    hidden = distance_mm(np.asarray(label) > 0, grid) <= MARGIN_MM
    seen = brain & ~hidden
    # With hardly any brain outside the tumour, a model cannot be fitted.
    result[:, seen] = prior[:, seen]
    if seen.sum() > 100 * len(TISSUES):
        result[:, seen] = _fractions(image[:, seen].T.astype(np.float64), prior[:, seen].T, seen).T
    covered = brain & ~seen
    # Every grid is centred on x = 0.
    mirrored, mirrored_seen = result[:, ::-1], seen[::-1]
    result[:, covered] = np.where(mirrored_seen, mirrored, prior)[:, covered]
    return result


def _field_basis(seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Polynomials (N, P) of the positions of a mask's voxels, each with mean 0."""
    axes = [np.linspace(-1, 1, n) for n in seen.shape]
    x, y, z = (axis[index] for axis, index in zip(axes, np.nonzero(seen), strict=True))
    degrees = range(FIELD_DEGREE + 1)
    powers = [(i, j, k) for i in degrees for j in degrees for k in degrees]
    basis = np.stack(
        [x**i * y**j * z**k for i, j, k in powers if 0 < i + j + k <= FIELD_DEGREE], axis=1
    )
    return basis - basis.mean(0)


def _mixtures() -> NDArray[np.float64]:
    """All possible contents of a voxel: fractions (C, 3) of the tissues in steps of 1 /
    ``PARTS``."""
    steps = range(PARTS + 1)
    parts = [(i, j, PARTS - i - j) for i in steps for j in steps if i + j <= PARTS]
    return np.array(parts) / PARTS


def _fractions(
    values: NDArray[np.float64], prior: NDArray[np.float32], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Expected fractions (N, 3) at the voxels of ``seen`` with intensities (N, M).

    A voxel with fractions ``f`` has Gaussian intensities with mean ``f · mean`` plus the modality's
    field. The prior probability of ``f`` is proportional to the product of the tissues' priors,
    each to the power of its fraction.
    """
    # Log prior of each mixture, up to a constant: sum_t f_t log prior_t, plus log odds.
    mixtures, basis = _mixtures(), _field_basis(seen)
    odds = np.where(mixtures.max(1) == 1, 0.0, np.log(MIXED_ODDS))
    log_prior = np.log(prior) @ mixtures.T + odds
    step = -(-len(values) // FITTED_VOXELS)
    some, its_basis, its_log_prior = values[::step], basis[::step], log_prior[::step]
    # Initially, without intensities, each voxel has the template's fractions.
    posterior = np.where(odds == 0, np.exp(its_log_prior), 0)
    posterior /= posterior.sum(1, keepdims=True)
    field = np.zeros((basis.shape[1], values.shape[1]))
    for _ in range(ITERATIONS):
        # M-step: mean and covariance of the tissues. E-step: posterior. Then the bias field.
        mean, covariance = _tissues(some - its_basis @ field, posterior, mixtures)
        posterior = _posterior(some - its_basis @ field, its_log_prior, mixtures @ mean, covariance)
        field = _field(some - posterior @ mixtures @ mean, its_basis)
    posterior = _posterior(values - basis @ field, log_prior, mixtures @ mean, covariance)
    return posterior @ mixtures


def _tissues(values: NDArray, posterior: NDArray, mixtures: NDArray) -> tuple[NDArray, NDArray]:
    """Mean (3, M) of each tissue's intensities (N, M), by least squares over the mixtures with
    their ``posterior`` (N, C), and the covariance (M, M) of the residuals."""
    # Normal equations of the expected log-likelihood in the tissues' means.
    total = posterior.sum(0)
    normal = mixtures.T @ (mixtures * total[:, None])
    normal += 1e-6 * len(values) * np.eye(len(normal))
    sums = posterior.T @ values
    mean = np.linalg.solve(normal, mixtures.T @ sums)
    # Expected outer product of the residuals, expanded.
    centres = mixtures @ mean
    crossed = centres.T @ sums
    covariance = values.T @ values - crossed - crossed.T + (centres.T * total) @ centres
    return mean, covariance / len(values) + SMALLEST_VARIANCE * np.eye(values.shape[1])


def _posterior(
    values: NDArray, log_prior: NDArray, centres: NDArray, covariance: NDArray
) -> NDArray[np.float64]:
    """Posterior probability (N, C) of each mixture: prior times the likelihood of intensities
    (N, M) around the mixtures' ``centres`` (C, M)."""
    precise = np.linalg.solve(covariance, centres.T)
    # The Gaussian's exponent, without the terms that all mixtures of a voxel share.
    logarithm = log_prior + values @ precise - np.einsum("cm,mc->c", centres, precise) / 2
    shares = np.exp(logarithm - logarithm.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def _field(rest: NDArray, basis: NDArray) -> NDArray[np.float64]:
    """Coefficients (P, M) of each modality's bias field, by least squares on the residuals (N, M)
    of the intensities."""
    return np.linalg.lstsq(basis, rest, rcond=None)[0]


def mean_quantiles(maps: Iterable[NDArray]) -> NDArray[np.float64]:
    """Quantiles (3, ``QUANTILES``) of each tissue's fraction in the brain, averaged over patients
    with tissue maps (3, X, Y, Z), 0 to 1."""
    levels = np.linspace(0, 1, QUANTILES)
    of_patients = [
        np.quantile(tissue[:, tissue.any(0)], levels, axis=1).T for tissue in maps if tissue.any()
    ]
    return np.mean(of_patients, axis=0)


def with_quantiles(tissue: NDArray, quantiles: NDArray) -> NDArray[np.float32]:
    """Tissue maps (3, X, Y, Z), 0 to 1, with fractions distributed by ``quantiles`` (3,
    ``QUANTILES``): images with more noise or another blur have fewer pure voxels, and other amounts
    of each tissue. Each voxel of the brain sums to 1."""
    inside = tissue.any(0)
    matched = np.zeros(tissue.shape, np.float32)
    levels = np.linspace(0, 1, QUANTILES)
    for row, values in enumerate(tissue[:, inside]):
        # Equal values get the mean of their ranks, and so stay equal. Importing SciPy's statistics
        # for this would cost each job a second.
        _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks = (counts.cumsum() - (counts + 1) / 2)[which] / max(1, len(values) - 1)
        matched[row, inside] = np.interp(ranks, levels, quantiles[row])
    total = matched[:, inside].sum(0)
    matched[:, inside] = np.where(total > 0, matched[:, inside] / total, tissue[:, inside])
    return matched


def mirrored_around(
    tissue: NDArray[np.float32], tumour: NDArray[np.bool_], margin_mm: float, grid: Grid
) -> NDArray[np.float32]:
    """Tissue maps (3, X, Y, Z) in which a tumour (X, Y, Z) and a margin around it are replaced by
    the other hemisphere, where both sides are brain."""
    near = distance_mm(tumour, grid) <= margin_mm
    # Every grid is centred on x = 0.
    other = tissue[:, ::-1]
    both = (tissue.sum(0) > 0) & (other.sum(0) > 0)
    return np.where(near & both, other, tissue)
