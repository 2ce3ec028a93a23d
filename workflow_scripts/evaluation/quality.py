"""The quality of synthetic patients, each measure with its floor: the value of real patients
compared with other real patients."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient
from workflow_scripts.evaluation.distances import frechet_distance, kernel_distance
from workflow_scripts.evaluation.diversity import pair_similarity
from workflow_scripts.evaluation.features import principal_components
from workflow_scripts.evaluation.image_measures import has_holes, image_measures, is_torn
from workflow_scripts.evaluation.intensities import REGIONS, intensity_distance, sampled
from workflow_scripts.evaluation.intervals import (
    distance_interval,
    ratio_interval,
    share_interval,
    spread_interval,
)
from workflow_scripts.evaluation.two_sample import crop_patients, separate
from workflow_scripts.evaluation.whole_brains import whole_brain

# Folders by group: ``train`` and ``held_out`` are real patients; ``reconstructed_train`` and
# ``reconstructed`` are the same patients after the autoencoder; ``synthetic`` are the generator's.
Groups = dict[str, Sequence[Path]]


class Row(NamedTuple):
    """A row of the quality table: a measure of a generator's patients compared with a reference.

    ``modality`` and ``reference`` may be empty. ``low`` and ``high`` are the interval of ``value``
    over patients; ``floor`` is the value of real patients; ``floor_low`` and ``floor_high`` are its
    interval, for AUCs only.
    """

    generator: str
    measure: str
    modality: str
    reference: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    floor: float = float("nan")
    floor_low: float = float("nan")
    floor_high: float = float("nan")


# For each reference: its group, and the group of other patients of the same kind, for the floor.
REFERENCES = {
    "reconstructed": ("reconstructed", "reconstructed_train"),
    "real": ("held_out", "train"),
}
# A measure that differs between scanners, and the name of its spread.
CONTRAST, SPREAD = "grey_white_contrast", "contrast_spread"
COMPARISONS = (("synthetic", "reconstructed"), ("synthetic", "real"), ("reconstructed", "real"))
# Number of random choices of patients over which a distance is averaged.
CHOICES = 10


def _compared(groups: Groups) -> list[tuple[str, str]]:
    """Pairs of generator and reference, for generators with patients."""
    return [(name, reference) for name, reference in COMPARISONS if groups[name]]


def two_sample_rows(
    groups: Groups,
    modalities: Sequence[str],
    steps: int,
    repeats: int,
    seed: int,
    confidence: float,
) -> Iterator[Row]:
    """How well a small network tells a generator's slices from the reference's (``two_sample``);
    the floor is the same for the reference's patients and the training patients."""
    crops = {name: crop_patients(folders, seed) for name, folders in groups.items()}
    length = {"steps": steps, "repeats": repeats, "seed": seed, "confidence": confidence}
    floors: dict[tuple[str, str], tuple[float, float, float]] = {}
    for name, reference in _compared(groups):
        group, other = REFERENCES[reference]
        for k, modality in enumerate(modalities):
            key = reference, modality
            if key not in floors:
                floors[key] = separate(crops[other], crops[group], k, **length)
            estimate = separate(crops[name], crops[group], k, **length)
            yield Row(name, f"auc_{reference}", modality, reference, *estimate, *floors[key])


def brain_measures(
    patient: Patient, grid: Grid, modalities: Sequence[str]
) -> dict[tuple[str, str], float]:
    """``whole_brain`` and ``image_measures`` of a patient, by measure and modality."""
    whole = {(measure, ""): value for measure, value in whole_brain(patient, grid).items()}
    return {**whole, **image_measures(patient, grid, modalities)}


def brain_rows(
    groups: Groups, grid: Grid, modalities: Sequence[str], confidence: float
) -> Iterator[Row]:
    """Ratios of the means of ``brain_measures`` to the reference's, where 1 is right; the floor is
    the training patients' ratio.

    ``CONTRAST`` also has the ratio of the standard deviations over patients, since a generator
    whose patients all have the same contrast may have the right mean. A measure that no patient of
    a group has, such as detail far from a tumour that fills the brain, has no row.
    """
    measures = {
        name: pd.DataFrame([brain_measures(Patient(f), grid, modalities) for f in folders])
        for name, folders in groups.items()
        if folders
    }
    for name, reference in _compared(groups):
        group, other = REFERENCES[reference]
        for measure, modality in measures[group]:
            key = measure, modality
            above, below, rest = (measures[g][key].dropna() for g in (name, group, other))
            if above.empty or below.empty:
                continue
            paired = name == "reconstructed" and len(above) == len(below)
            interval = ratio_interval(above.to_numpy(), below.to_numpy(), paired, confidence)
            value, floor = above.mean() / below.mean(), rest.mean() / below.mean()
            yield Row(name, measure, modality, reference, value, *interval, floor)
            if measure == CONTRAST and below.std() > 0:
                interval = spread_interval(above.to_numpy(), below.to_numpy(), confidence)
                value, floor = above.std() / below.std(), rest.std() / below.std()
                yield Row(name, SPREAD, modality, reference, value, *interval, floor)


def fault_rows(
    groups: Groups, grid: Grid, confidence: float, holed: Sequence[bool], torn: Sequence[bool]
) -> Iterator[Row]:
    """Share of patients whose label has holes, and of patients whose brain is torn.

    The floor is the share of held-out patients, whose labels are taken after the autoencoder.
    ``holed`` and ``torn`` flag the synthetic labels with holes and the torn brains as drawn, before
    holes are filled and all but a brain's largest piece are removed.
    """
    holes = {
        name: [has_holes(Patient(folder)) for folder in groups[name]]
        for name in ("reconstructed", "held_out")
    }
    holes["synthetic"] = list(holed)

    def row(name: str, measure: str, reference: str, which: Sequence[bool], floor: float) -> Row:
        interval = share_interval(np.array(which), confidence)
        return Row(name, measure, "", reference, float(np.mean(which)), *interval, floor)

    for name, reference in (("synthetic", "reconstructed"), ("reconstructed", "real")):
        if holes[name]:
            floor = float(np.mean(holes[REFERENCES[reference][0]]))
            yield row(name, "label_with_holes", reference, holes[name], floor)
    if len(torn):
        floor = float(np.mean([is_torn(Patient(f), grid) for f in groups["held_out"]]))
        yield row("synthetic", "torn_brain", "real", torn, floor)


def _patients_a_side(parts: dict[str, list]) -> int:
    """Number of patients on each side of a distance, on which the distance depends: at most the
    smallest compared group, and half of all real patients."""
    sizes = [len(parts[name]) for name in ("synthetic", "reconstructed", "held_out")]
    real = len(parts["train"]) + len(parts["held_out"])
    return min(*(size for size in sizes if size), real // 2)


def distance_rows(
    parts: dict[str, list],
    measures: dict[tuple[str, str], Callable[[list, list], float]],
    seed: int,
    confidence: float,
) -> Iterator[Row]:
    """Distances of each generator's patients from real held-out ones.

    ``parts`` has the compared data of each patient, by group; ``measures`` are functions of two
    lists of these, by measure and modality. A value is the mean over ``CHOICES`` random choices of
    patients. The floor is the mean over random halves of the real patients, training and held-out,
    with the same number on each side. A distance that is NaN has no row.
    """
    count, real = _patients_a_side(parts), [*parts["train"], *parts["held_out"]]

    def chosen(part: list, rng: np.random.Generator, replace: bool) -> list:
        return [part[k] for k in rng.choice(len(part), count, replace)]

    def halves(rng: np.random.Generator) -> tuple[list, list]:
        both = [real[k] for k in rng.permutation(len(real))[: 2 * count]]
        return both[:count], both[count:]

    def sides(name: str, rng: np.random.Generator, replace: bool = False) -> tuple[list, list]:
        return chosen(parts[name], rng, replace), chosen(parts["held_out"], rng, replace)

    for (measure, modality), distance in measures.items():
        floor = _mean(distance(*halves(rng)) for rng in _choices(seed))
        for name in ("synthetic", "reconstructed"):
            value = _mean(distance(*sides(name, rng)) for rng in _choices(seed) if parts[name])
            if not np.isnan(value):
                interval = distance_interval(
                    value,
                    lambda rng, name=name, distance=distance: distance(*sides(name, rng, True)),
                    seed,
                    confidence,
                )
                yield Row(name, measure, modality, "real", value, *interval, floor)


def _choices(seed: int) -> Iterator[np.random.Generator]:
    """Random generators, one for each choice of patients."""
    return map(np.random.default_rng, ((seed, k) for k in range(CHOICES)))


def _mean(distances: Iterable[float]) -> float:
    """Mean of the distances that are not NaN; NaN if there are none, such as for tumours in
    patients without one."""
    known = [distance for distance in distances if not np.isnan(distance)]
    return float(np.mean(known)) if known else float("nan")


def feature_rows(
    groups: Groups,
    extract: Callable[[Path], NDArray[np.float64]],
    seed: int,
    confidence: float,
) -> Iterator[Row]:
    """Fréchet and kernel distances of feature vectors (``distance_rows``), on their principal
    components in all real held-out patients; ``extract`` returns the vectors (n, d) of a
    patient."""
    features = {
        name: [extract(folder) for folder in groups[name]]
        for name in ("synthetic", "reconstructed", "train", "held_out")
    }
    reduce = principal_components(np.concatenate(features["held_out"]))
    parts = {name: list(map(reduce, vectors)) for name, vectors in features.items()}
    measures = {
        (name, ""): lambda a, b, distance=distance: distance(np.concatenate(a), np.concatenate(b))
        for name, distance in (("frechet", frechet_distance), ("kernel", kernel_distance))
    }
    yield from distance_rows(parts, measures, seed, confidence)


def intensity_rows(
    groups: Groups,
    grid: Grid,
    ring_mm: tuple[float, float],
    modalities: Sequence[str],
    seed: int,
    confidence: float,
) -> Iterator[Row]:
    """Wasserstein-1 distances of the intensities by region and modality (``distance_rows``)."""
    parts = {
        name: [sampled(folder, grid, ring_mm) for folder in groups[name]]
        for name in ("synthetic", "reconstructed", "train", "held_out")
    }
    measures = {
        (f"intensity_{region}", modality): partial(intensity_distance, region=region, modality=k)
        for region in REGIONS
        for k, modality in enumerate(modalities)
    }
    yield from distance_rows(parts, measures, seed, confidence)


def variety_rows(groups: Groups) -> Iterator[Row]:
    """Similarity of pairs of patients; the floor is that of held-out patients. For synthetic
    patients these are taken after the autoencoder, whose smoothing makes patients more similar."""
    alike = {n: pair_similarity(groups[n]) for n in ("held_out", "reconstructed", "synthetic")}
    for name, reference in (("reconstructed", "real"), ("synthetic", "reconstructed")):
        if groups[name]:
            floor = alike[REFERENCES[reference][0]]
            yield Row(name, "pair_similarity", "", reference, alike[name], floor=floor)
