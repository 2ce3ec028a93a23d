"""Distances between two sets of feature vectors."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from workflow_scripts.common.subsets import evenly_chosen

Features = NDArray[np.float64]
# A kernel compares all pairs: larger sets are reduced to this many, evenly spaced.
LARGEST = 500


def frechet_distance(a: Features, b: Features) -> float:
    """``|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½)`` of samples (n, d) and (m, d), assumed to be
    Gaussian (Fréchet 1957; Heusel et al. 2017). It is biased upwards at small n: compare it with
    that of two real sets of the same sizes. NaN if a set has fewer than two vectors."""
    if min(len(a), len(b)) < 2:
        return float("nan")
    mean = a.mean(0) - b.mean(0)
    first, second = (np.cov(x, rowvar=False) for x in (a, b))
    # The eigenvalues of C_a C_b are those of a symmetric matrix, and hence real.
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    product = np.linalg.eigvalsh(root @ second @ root).clip(0)
    return float(mean @ mean + np.trace(first) + np.trace(second) - 2 * np.sqrt(product).sum())


def kernel_distance(a: Features, b: Features) -> float:
    """Maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012, equation 5). The
    estimate is biased upwards: compare it with that of two real sets of the same sizes.

    The kernel's width is the median distance within ``b``, the reference. NaN if a set has fewer
    than two vectors.
    """
    if min(len(a), len(b)) < 2:
        return float("nan")
    a, b = (x[evenly_chosen(len(x), LARGEST)] for x in (a, b))
    width = np.median(pdist(b))

    def similarity(x: Features, y: Features) -> float:
        return float(np.exp(-cdist(x, y, "sqeuclidean") / (2 * width**2)).mean())

    squared = similarity(a, a) + similarity(b, b) - 2 * similarity(a, b)
    return float(np.sqrt(max(squared, 0.0)))
