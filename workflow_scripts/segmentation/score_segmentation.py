"""Rule ``score_segmentation``: each test patient's predicted regions against the reference."""

from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import regions
from workflow_scripts.common.nifti import load_nifti
from workflow_scripts.common.patients import Patient
from workflow_scripts.segmentation.metrics import region_scores
from workflow_scripts.segmentation.volumes import reference_masks, region_masks


def score_patient(
    patient: Patient, prediction: Path, labels: str, grid: Grid, tolerance_mm: float
) -> list[dict]:
    """A row of scores for each region of one patient, in template space."""
    classes, _, _ = load_nifti(prediction)
    guesses = region_masks(classes, labels)
    truths = reference_masks(patient.label(), labels)
    rows = []
    for name, guess, truth in zip(regions(labels), guesses, truths, strict=True):
        scores = region_scores(guess, truth, grid.spacing_mm, tolerance_mm)
        rows.append({"patient_id": patient.patient_id, "region": name, **scores})
    return rows


def main(snakemake) -> None:
    params = snakemake.params
    grid = Grid.from_settings(params.grid)
    rows = []
    for path in snakemake.input.images:
        patient = Patient(Path(path).parent)
        prediction = Path(snakemake.input.predictions) / patient.patient_id / "label.nii.gz"
        rows += score_patient(patient, prediction, params.labels, grid, params.tolerance_mm)
    table = pd.DataFrame(rows)
    table.insert(0, "split", snakemake.wildcards.split)
    table.insert(1, "arm", snakemake.wildcards.arm)
    write_table(table, snakemake.output.scores)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
