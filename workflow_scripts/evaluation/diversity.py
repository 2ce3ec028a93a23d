"""Variety of a set of patients."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.metrics import MultiScaleSSIMMetric

from workflow_scripts.common.patients import Patient
from workflow_scripts.common.subsets import evenly_chosen

PAIRS = 60
KERNEL = 5
# Wang et al. 2003 use five scales; volumes of 48 slices are large enough for the first three.
SCALES = (0.0448, 0.2856, 0.3001)


def pair_similarity(folders: Sequence[Path]) -> float:
    """Mean multi-scale structural similarity of pairs of patients, at most ``PAIRS``, evenly
    spaced; 1 if all are the same. NaN for a single patient."""
    pairs = list(itertools.combinations(folders, 2))
    if not pairs:
        return float("nan")
    chosen = evenly_chosen(len(pairs), PAIRS)
    # The kernel must fit the smallest scale; each scale is half as large as the previous one.
    shortest = min(Patient(folders[0]).label().shape)
    scales = [weight for k, weight in enumerate(SCALES) if shortest >> max(2 * k - 2, 0) > KERNEL]
    similarity = MultiScaleSSIMMetric(
        spatial_dims=3, kernel_size=KERNEL, weights=[scale / sum(scales) for scale in scales]
    )
    values = []
    for i in chosen:
        a, b = (torch.from_numpy(Patient(folder).image())[None] for folder in pairs[i])
        values.append(float(similarity(a, b)))
    return float(np.mean(values))
