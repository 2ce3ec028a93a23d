"""Problems of a cohort's patients: one list for `check`, the run and the report."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal

import pandas as pd

from workflow_scripts.common.files import InputError, UserError

SHOWN = 100  # largest number of problems in a message


@dataclass(frozen=True)
class Problem:
    """What is wrong with a patient, and the remedy.

    A patient with an ``error`` cannot be used; a ``warning`` should be looked at. ``file`` is "" if
    no single file is wrong, ``patient_id`` is "" for the cohort as a whole.
    """

    level: Literal["error", "warning"]
    patient_id: str
    file: str
    problem: str
    remedy: str

    @classmethod
    def of(cls, error: UserError, patient_id: str) -> "Problem":
        """A problem from the exception that reports it, as an ``error`` of the patient."""
        if isinstance(error, InputError):
            return cls("error", patient_id, error.file, error.problem, error.remedy)
        return cls("error", patient_id, "", str(error), "")

    def __str__(self) -> str:
        parts = [self.patient_id, self.file, "; ".join(filter(None, [self.problem, self.remedy]))]
        return ": ".join(filter(None, parts))


COLUMNS = [field.name for field in fields(Problem)]


def problem_table(problems: Iterable[Problem]) -> pd.DataFrame:
    """Table with one row per problem and the columns ``COLUMNS``, as in ``problems.tsv``."""
    return pd.DataFrame([asdict(problem) for problem in problems], columns=COLUMNS)


def warn_of(problems: Sequence[Problem]) -> None:
    """Log the problems that are warnings, one message each."""
    for problem in problems:
        if problem.level == "warning":
            logging.warning("%s", problem)


def report_errors(problems: Sequence[Problem], total: int, on_error: str) -> None:
    """List the errors of a cohort of ``total`` patients in one message, ``SHOWN`` of them at most.

    With ``on_error`` ``stop`` it is raised as a ``UserError``, with ``skip`` it is logged. Without
    errors nothing happens.
    """
    errors = [problem for problem in problems if problem.level == "error"]
    if not errors:
        return
    count = len({problem.patient_id for problem in errors})
    lines = [f"\n  {problem}" for problem in errors[:SHOWN]]
    if len(errors) > SHOWN:
        lines.append(f"\n  … and {len(errors) - SHOWN} more")
    message = f"{count} of {total} patients cannot be used:{''.join(lines)}"
    if on_error == "stop":
        raise UserError(
            f"{message}\nMend them, name them in cohort.exclude, or set cohort.on_error: skip"
        )
    logging.warning("%s\nThey are left out (cohort.on_error: skip)", message)
