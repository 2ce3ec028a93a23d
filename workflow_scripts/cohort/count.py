"""How many usable patients a configured cohort has, before any job runs."""

from workflow_scripts.cohort.inspection import inspect_cases
from workflow_scripts.cohort.list_participants import real_cases
from workflow_scripts.cohort.settings import CohortSettings
from workflow_scripts.cohort.splits import refuse_too_few


def usable_patients(cohort: CohortSettings, modalities: list[str]) -> int:
    """The number of patients, of real ones after a look into their files.

    Raises ``UserError`` naming each patient whose files cannot be used, and where there are fewer
    than the splits need.
    """
    if cohort.made:
        count = cohort.phantom_count
    else:
        cases = real_cases(cohort, modalities)
        count = len(inspect_cases(cases, cohort.label_scheme, cohort.on_error)[0])
    refuse_too_few(count, cohort.splits)
    return count
