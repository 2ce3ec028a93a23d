"""What is wrong with a cohort's patients: one list for `check`, the run and the report."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal

import pandas as pd

from workflow_scripts.common.files import InputError, UserError

SHOWN = 100  # problems listed in a message


@dataclass(frozen=True)
class Problem:
    """What is wrong with a patient, with which ``file`` ("" where it is none of them), and what
    would be right. With an ``error`` the patient cannot be used; a ``warning`` is to be looked at.
    ``patient_id`` is "" for the cohort as a whole."""

    level: Literal["error", "warning"]
    patient_id: str
    file: str
    problem: str
    remedy: str

    @classmethod
    def of(cls, error: UserError, patient_id: str) -> "Problem":
        """The problem that an error says."""
        if isinstance(error, InputError):
            return cls("error", patient_id, error.file, error.problem, error.remedy)
        return cls("error", patient_id, "", str(error), "")

    def __str__(self) -> str:
        parts = [self.patient_id, self.file, "; ".join(filter(None, [self.problem, self.remedy]))]
        return ": ".join(filter(None, parts))


COLUMNS = [field.name for field in fields(Problem)]


def problem_table(problems: Iterable[Problem]) -> pd.DataFrame:
    """A row a problem, as ``problems.tsv`` has them."""
    return pd.DataFrame([asdict(problem) for problem in problems], columns=COLUMNS)


def warn_of(problems: Sequence[Problem]) -> None:
    """Log each warning."""
    for problem in problems:
        if problem.level == "warning":
            logging.warning("%s", problem)


def report_errors(problems: Sequence[Problem], total: int, on_error: str) -> None:
    """Raise ``UserError``, or with ``skip`` log, one message that lists the errors of ``total``
    patients."""
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
