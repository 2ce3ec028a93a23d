"""Who trains and who tests: splits by patient, stratified by the tumour's volume."""

import hashlib

import numpy as np
import pandas as pd

from workflow_scripts.cohort.settings import SplitSettings
from workflow_scripts.common.files import UserError

Roles = dict[str, list[str]]


def _share(key: str) -> float:
    """A number from 0 to 1 from the SHA-256 of a text: the same on every machine, and uniformly
    distributed over texts."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def keyed_order(participants: pd.DataFrame, key: str) -> list[str]:
    """All patients in a random order in which the first k, for any k, have small and large tumours
    in proportion.

    Strata are octaves of the volume: [1, 2) mL, [2, 4) mL, and so on. Within a stratum, patients
    are ordered by a hash of ``key`` and their name; the strata are then interleaved by relative
    rank. So one patient more in a cohort moves the others by one rank of their stratum at most.
    """
    strata = np.floor(np.log2(participants["volume_ml"].clip(lower=1e-3))).astype(int)
    places = []
    for stratum, names in participants.groupby(strata)["patient_id"]:
        ranked = sorted(names, key=lambda name: _share(f"{key}:{name}"))
        first = _share(f"{key}:stratum {stratum}")
        places += [((rank + first) / len(ranked), name) for rank, name in enumerate(ranked)]
    return [name for _, name in sorted(places)]


def refuse_too_few(patients: int, settings: SplitSettings) -> None:
    """Raise ``UserError`` if the splits need more than so many patients."""
    if settings.patients_needed > patients:
        raise UserError(
            f"cohort.splits needs {settings.patients_needed} patients ({settings.needs}), the "
            f"cohort has {patients}; lower {settings.lower}"
        )


def draw_splits(participants: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Draw all splits of a cohort, from its columns ``patient_id`` and ``volume_ml``.

    Returns a table with one row per split and patient and the columns ``split``, ``patient_id`` and
    ``role`` (train, validation or test). Raises ``UserError`` for a cohort that is too small.
    """
    refuse_too_few(len(participants), settings)
    scheme = {"draws": _draws, "folds": _folds, "development": _development}[settings.scheme]
    rows = [
        {"split": split, "patient_id": name, "role": role}
        for split, roles in scheme(participants, settings)
        for role, names in roles.items()
        for name in sorted(names)
    ]
    return pd.DataFrame(rows)


def _tested(participants: pd.DataFrame, settings: SplitSettings) -> tuple[list[str], list[str]]:
    """The test patients of draws, and the others in their order."""
    order = keyed_order(participants, f"test {settings.test_seed}")
    return order[: settings.test], order[settings.test :]


def _draws(participants: pd.DataFrame, settings: SplitSettings) -> list[tuple[str, Roles]]:
    """Names and roles of the splits ``n<N>-s<seed>``.

    Test and validation patients are drawn once, and are the same in all splits. For each seed the
    other patients have one order, and the first N of them train: the training sets are nested, and
    a size more or less leaves the others as they are.
    """
    test, order = _tested(participants, settings)
    validation, rest = order[: settings.validation], order[settings.validation :]
    left = participants[participants["patient_id"].isin(rest)]
    splits = []
    for seed in settings.seeds:
        drawn = keyed_order(left, f"train {seed}")
        for size in sorted(settings.train_sizes):
            roles = {"train": drawn[:size], "validation": validation, "test": test}
            splits.append((f"n{size}-s{seed}", roles))
    return splits


def _folds(participants: pd.DataFrame, settings: SplitSettings) -> list[tuple[str, Roles]]:
    """Names and roles of the splits ``fold<k>-s<seed>``: every patient is tested once per seed, by
    models that were trained on none of its fold.

    All folds train on the same number of patients: a fold with one test patient less has one
    validation patient more.
    """
    largest = -(-len(participants) // settings.folds)
    splits = []
    for seed in settings.seeds:
        order = keyed_order(participants, f"folds {seed}")
        folds = [part.tolist() for part in np.array_split(order, settings.folds)]
        for number, test in enumerate(folds, 1):
            rest = participants[~participants["patient_id"].isin(test)]
            inner = keyed_order(rest, f"fold {number} of {seed}")
            held = settings.validation + largest - len(test)
            roles = {"train": inner[held:], "validation": inner[:held], "test": test}
            splits.append((f"fold{number}-s{seed}", roles))
    return splits


def _development(participants: pd.DataFrame, settings: SplitSettings) -> list[tuple[str, Roles]]:
    """Folds of the patients that draws does not test, with the smallest of its numbers of training
    patients: settings can be chosen by their scores, and the test patients remain unseen."""
    _, others = _tested(participants, settings)
    folds = _folds(participants[participants["patient_id"].isin(others)], settings)
    count = min(settings.train_sizes)
    return [(name, {**roles, "train": roles["train"][:count]}) for name, roles in folds]


def training_sizes(splits: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """For each split, the number of training patients and that of validation patients. Both need a
    label."""
    counts = splits.groupby(["split", "role"]).size()
    return {
        name: (int(counts[name, "train"]), int(counts[name, "validation"]))
        for name in splits["split"].unique()
    }
