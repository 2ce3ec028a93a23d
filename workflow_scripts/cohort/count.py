"""How many usable patients a configured cohort has, before any job runs."""

import os

from workflow_scripts.cohort.inspection import inspect_cases
from workflow_scripts.cohort.list_participants import real_cases
from workflow_scripts.cohort.settings import CohortSettings
from workflow_scripts.cohort.splits import refuse_too_few

# Each thread holds whole volumes.
MOST_THREADS = 4


def usable_patients(cohort: CohortSettings, modalities: list[str]) -> int:
    """The number of patients; real ones are counted after their files were checked.

    Raises ``UserError`` if there are fewer than the splits need, and, with ``on_error`` ``stop``,
    one that lists each patient whose files cannot be used.
    """
    if cohort.made:
        count = cohort.phantom_count
    else:
        cases = real_cases(cohort, modalities)
        how = (
            cohort.label_scheme,
            cohort.on_error,
            cohort.geometry,
            min(MOST_THREADS, os.cpu_count() or 1),
        )
        count = len(inspect_cases(cases, *how)[0])
    refuse_too_few(count, cohort.splits)
    return count
