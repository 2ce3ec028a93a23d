"""List the cohort's patients, with their files and tumour volumes."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workflow_scripts.cohort.plan import phantom_ids, plan_phantom
from workflow_scripts.cohort.readers import find_cases, inspect_cases
from workflow_scripts.cohort.settings import PhantomSettings
from workflow_scripts.common.files import write_table


def phantom_participants(
    count: int, seed: int, modalities: Sequence[str], settings: PhantomSettings, folder: str | Path
) -> pd.DataFrame:
    """The phantom patients that ``make_phantom`` will write under ``folder``, from their plans."""
    rows = []
    for name in phantom_ids(count):
        place = Path(folder, name)
        rows.append(
            {
                "patient_id": name,
                **{m: str(place / f"{m}.nii.gz") for m in modalities},
                "label": str(place / "label.nii.gz"),
                "brain_mask": str(place / "brain_mask.nii.gz"),
                "label_scheme": "brats2023",
                "volume_ml": plan_phantom(name, seed, settings).volume_ml,
            }
        )
    return pd.DataFrame(rows)


def main(snakemake):
    given = snakemake.params
    if given.source == "phantom":
        settings = PhantomSettings.model_validate(given.phantom)
        participants = phantom_participants(
            given.patients, given.seed, given.modalities, settings, given.folder
        )
    else:
        cases = find_cases(
            given.source, given.root, given.table, given.label_scheme, given.modalities
        )
        participants = inspect_cases(cases, given.source)
    write_table(participants, snakemake.output.participants)
    volumes = participants["volume_ml"]
    logging.info(
        "%d patients, tumours of %.1f to %.1f mL", len(volumes), volumes.min(), volumes.max()
    )


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
