"""Who trains and who tests: splits by patient, stratified by the tumour's volume."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workflow_scripts.cohort.settings import SplitSettings
from workflow_scripts.common.files import UserError


def stratified_order(patients: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Shuffle patients, given by ascending volume, so that every beginning is a fair sample.

    The halves of small and of large tumours are shuffled each in this way and then dealt out in
    turn; it is random which half begins.
    """
    if len(patients) < 2:
        return list(patients)
    middle = (len(patients) + int(rng.integers(2))) // 2
    halves = [patients[:middle], patients[middle:]]
    first, second = (stratified_order(halves[k], rng) for k in rng.permutation(2))
    if len(second) > len(first):
        first, second = second, first
    order = [name for pair in zip(first, second, strict=False) for name in pair]
    return order + first[len(second) :]


def draw_splits(participants: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Draw all splits from the columns ``patient_id`` and ``volume_ml``.

    Returns ``split``, ``patient_id``, ``role`` (train, validation, test). Test patients are drawn
    first and once, then validation patients; both are the same in all splits. For each seed the
    rest is put into one order, of which the training set of size n is the beginning: so the sets
    are nested, and a further size changes none of the others. Raises ``UserError`` for a cohort
    that is too small.
    """
    total, largest = len(participants), max(settings.train_sizes)
    if settings.patients_needed > total:
        raise UserError(
            f"cohort.splits needs {settings.patients_needed} patients (train {largest} + "
            f"validation {settings.validation} + test {settings.test}), the cohort has {total}; "
            "lower train_sizes, validation or test"
        )
    ranked = participants.sort_values(["volume_ml", "patient_id"])["patient_id"].tolist()
    test = stratified_order(ranked, np.random.default_rng([settings.test_seed, 0]))
    test = test[: settings.test]
    ranked = [name for name in ranked if name not in test]
    validation = stratified_order(ranked, np.random.default_rng([settings.test_seed, 1]))
    validation = validation[: settings.validation]
    ranked = [name for name in ranked if name not in validation]
    rows = []
    for seed in settings.seeds:
        order = stratified_order(ranked, np.random.default_rng([seed, 2]))
        for size in sorted(settings.train_sizes):
            roles = {"train": order[:size], "validation": validation, "test": test}
            rows += [
                {"split": f"n{size}-s{seed}", "patient_id": name, "role": role}
                for role, names in roles.items()
                for name in sorted(names)
            ]
    return pd.DataFrame(rows)
