"""Rule ``list_participants``: the cohort's patients, with their files and tumour volumes."""

import difflib
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workflow_scripts.cohort.brats import brats_cases
from workflow_scripts.cohort.inspection import inspect_cases
from workflow_scripts.cohort.msd import msd_cases
from workflow_scripts.cohort.patient_files import Case
from workflow_scripts.cohort.problems import Problem, problem_table
from workflow_scripts.cohort.table import table_cases
from workflow_scripts.common.files import UserError, write_table
from workflow_scripts.phantoms.plan import phantom_ids, plan_phantom
from workflow_scripts.phantoms.settings import PhantomSettings


def phantom_participants(
    count: int, seed: int, modalities: Sequence[str], settings: PhantomSettings, folder: str | Path
) -> pd.DataFrame:
    """Rows of ``participants.tsv`` for ``count`` phantoms, from their plans, before they exist.

    ``folder`` is where the rule ``make_phantom`` writes their files. It is "" for phantoms that are
    simulated on the grid, which have no files.
    """
    rows = []
    for name in phantom_ids(count, on_grid=not folder):
        volumes = [*modalities, "label", "brain_mask"]
        rows.append(
            {
                "patient_id": name,
                **{v: str(Path(folder, name, f"{v}.nii.gz")) if folder else "" for v in volumes},
                "label_scheme": "brats2023",
                "volume_ml": plan_phantom(name, seed, settings).volume_ml,
                "digest": "",  # the rule that writes the files determines when they change
            }
        )
    return pd.DataFrame(rows)


def real_cases(cohort, modalities: Sequence[str]) -> list[Case]:
    """The cases of a ``brats``, ``msd`` or ``table`` cohort, without those in ``exclude``.

    ``cohort`` has ``source``, ``root``, ``table``, ``label_scheme`` and ``exclude`` of
    ``CohortSettings`` as attributes. Raises ``UserError`` as the readers do, and if the cohort does
    not have a patient that is to be excluded.
    """
    if cohort.source == "brats":
        cases = brats_cases(cohort.root, modalities)
    elif cohort.source == "msd":
        cases = msd_cases(cohort.root, modalities)
    else:
        cases = table_cases(cohort.table, cohort.root, cohort.label_scheme, modalities)
    names = {case.patient_id for case in cases}
    for name in cohort.exclude:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise UserError(f"cohort.exclude: the cohort has no patient '{name}'{hint}")
    return [case for case in cases if case.patient_id not in cohort.exclude]


def main(snakemake):
    params = snakemake.params
    problems: list[Problem] = []
    if params.source in ("phantom", "phantom_on_grid"):
        settings = PhantomSettings.model_validate(params.phantom)
        participants = phantom_participants(
            params.patients, params.seed, params.modalities, settings, params.folder
        )
    else:
        participants, problems = inspect_cases(
            real_cases(params, params.modalities),
            params.label_scheme,
            params.on_error,
            params.geometry,
            snakemake.threads,
        )
    write_table(participants, snakemake.output.participants)
    write_table(problem_table(problems), snakemake.output.problems)
    volumes = participants["volume_ml"]
    logging.info(
        "%d patients, tumours of %.1f to %.1f mL", len(volumes), volumes.min(), volumes.max()
    )


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
