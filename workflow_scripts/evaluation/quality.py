"""How good generated patients are, each measure beside its floor: what real patients get when
compared with other real patients, as many of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient
from workflow_scripts.evaluation.distances import frechet_distance, kernel_distance
from workflow_scripts.evaluation.diversity import pair_similarity
from workflow_scripts.evaluation.intensities import intensity_distances, sampled
from workflow_scripts.evaluation.neighbours import nearest
from workflow_scripts.evaluation.whole_brains import whole_brain

Row = tuple[str, float, float]
Extract = Callable[[Path], np.ndarray]


def brain_rows(
    made: Sequence[Path], train: Sequence[Path], test: Sequence[Path], grid: Grid
) -> Iterator[Row]:
    """Means of ``whole_brain`` over those of the test patients; the training patients' are the
    floor, so that 1 is right for both."""
    means = [
        pd.DataFrame([whole_brain(Patient(folder), grid) for folder in folders]).mean()
        for folders in (made, train, test)
    ]
    for name in means[0].index:
        yield name, means[0][name] / means[2][name], means[1][name] / means[2][name]


def feature_rows(
    made: Sequence[Path],
    train: Sequence[Path],
    test: Sequence[Path],
    networks: dict[str, Extract],
) -> Iterator[Row]:
    """Distances of generated to test patients in the features of each network, with those of
    training to test patients as the floor; the same number of patients on each side."""
    count = min(len(made), len(train), len(test))
    for name, extract in networks.items():
        a, b, reference = (
            np.concatenate([extract(folder) for folder in folders[:count]])
            for folders in (made, train, test)
        )
        # In units of the reference's spread, so that no feature counts more for being larger.
        unit = np.maximum(reference.std(0), 1e-6)
        a, b, reference = a / unit, b / unit, reference / unit
        for kind, distance in (("frechet", frechet_distance), ("kernel", kernel_distance)):
            yield f"{kind}_{name}", distance(a, reference), distance(b, reference)


def intensity_rows(
    made: Sequence[Path],
    train: Sequence[Path],
    test: Sequence[Path],
    grid: Grid,
    ring_mm: tuple[float, float],
    modalities: Sequence[str],
) -> Iterator[Row]:
    """Distances of the intensities' distributions from the test patients'."""
    a, b, reference = (sampled(folders, grid, ring_mm) for folders in (made, train, test))
    floor = dict(intensity_distances(b, reference, modalities))
    for name, value in intensity_distances(a, reference, modalities):
        yield name, value, floor[name]


def memory_rows(made: Sequence[Path], train: Sequence[Path], test: Sequence[Path]) -> Iterator[Row]:
    """Median distance to the nearest training patient; the floor is that of the test patients,
    below which a generator copies. Similarity of pairs; above the floor there is less variety."""
    found, real = nearest(made, train), nearest(test, train)
    for k, name in enumerate(("nearest_image", "nearest_mask")):
        yield name, float(np.median(found[k])), float(np.median(real[k]))
    yield "pair_similarity", pair_similarity(made), pair_similarity(test)
