"""How good generated patients are, each measure beside its floor: what real patients get when
compared with other real patients, as many of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient
from workflow_scripts.evaluation.distances import frechet_distance, kernel_distance
from workflow_scripts.evaluation.diversity import pair_similarity
from workflow_scripts.evaluation.intensities import intensity_distances, sampled
from workflow_scripts.evaluation.whole_brains import whole_brain

# Folders by group: ``train`` and ``test`` are real, ``reconstructed`` the test patients after the
# autoencoder, ``synthetic`` the generator's.
Groups = dict[str, Sequence[Path]]
# generator, measure, value, floor
Row = tuple[str, str, float, float]
GENERATORS = ("reconstructed", "synthetic")


def _generators(groups: Groups) -> list[str]:
    return [name for name in GENERATORS if groups[name]]


def as_many(groups: Groups) -> Groups:
    """As many patients of each group as the smallest has: the distance of two samples falls with
    their number, so that more of them would seem to be nearer."""
    count = min(len(folders) for folders in groups.values() if folders)
    return {name: folders[:count] for name, folders in groups.items()}


def brain_rows(groups: Groups, grid: Grid) -> Iterator[Row]:
    """Means of ``whole_brain`` over those of the test patients; the training patients' are the
    floor, so that 1 is right for both."""
    means = {
        name: pd.DataFrame([whole_brain(Patient(folder), grid) for folder in folders]).mean()
        for name, folders in groups.items()
        if folders
    }
    for name in _generators(groups):
        for measure, reference in means["test"].items():
            value, floor = means[name][measure], means["train"][measure]
            yield name, measure, value / reference, floor / reference


def feature_rows(
    groups: Groups, networks: dict[str, Callable[[Path], NDArray[np.float64]]]
) -> Iterator[Row]:
    """Distances to the test patients in the features of each network, with that of the training
    patients as the floor; the same number of patients in all groups."""
    groups = as_many(groups)
    for network, extract in networks.items():
        found = {
            name: np.concatenate([extract(folder) for folder in folders])
            for name, folders in groups.items()
            if folders
        }
        # In units of the reference's spread, so that no feature counts more for being larger.
        unit = np.maximum(found["test"].std(0), 1e-6)
        found = {name: vectors / unit for name, vectors in found.items()}
        for kind, distance in (("frechet", frechet_distance), ("kernel", kernel_distance)):
            floor = distance(found["train"], found["test"])
            for name in _generators(groups):
                yield name, f"{kind}_{network}", distance(found[name], found["test"]), floor


def intensity_rows(
    groups: Groups, grid: Grid, ring_mm: tuple[float, float], modalities: Sequence[str]
) -> Iterator[Row]:
    """Distances of the intensities' distributions from the test patients', with that of the
    training patients as the floor; the same number of patients in all groups."""
    found = {name: sampled(folders, grid, ring_mm) for name, folders in as_many(groups).items()}
    floor = dict(intensity_distances(found["train"], found["test"], modalities))
    for name in _generators(groups):
        for measure, value in intensity_distances(found[name], found["test"], modalities):
            yield name, measure, value, floor.get(measure, np.nan)


def variety_rows(groups: Groups) -> Iterator[Row]:
    """Similarity of pairs, with that of test patients as the floor: for synthetic ones after the
    autoencoder, which smooths all that it decodes and so makes it more alike."""
    alike = {name: pair_similarity(groups[name]) for name in ("test", *GENERATORS)}
    for name, other in (("reconstructed", "test"), ("synthetic", "reconstructed")):
        if groups[name]:
            yield name, "pair_similarity", alike[name], alike[other]
