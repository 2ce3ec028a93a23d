"""Rule ``score_segmentation``: each test patient's predicted regions against the reference."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.files import write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import regions
from workflow_scripts.common.nifti import load_volume
from workflow_scripts.common.patients import Patient
from workflow_scripts.preprocess.native import drawn_label
from workflow_scripts.preprocess.raw_patient import row_of
from workflow_scripts.preprocess.volumes import canonical_volume
from workflow_scripts.segmentation.blocks import reference_masks, region_masks
from workflow_scripts.segmentation.metrics import region_scores
from workflow_scripts.segmentation.official_metrics import image_scores, lesion_scores

# Scores that are also computed in native space, with the same definition.
NATIVE = ("dice", "hd95_mm", "nsd")


def native_scores(
    guess: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float,
) -> dict[str, float]:
    """Scores of a predicted region (X, Y, Z) in native space.

    ``native_dice``, ``native_hd95_mm`` and ``native_nsd`` are those of ``region_scores``;
    ``official_*`` and ``lesion_*`` those of ``image_scores`` and ``lesion_scores``.
    """
    scores = region_scores(guess, truth, spacing_mm, tolerance_mm)
    native = {f"native_{name}": scores[name] for name in NATIVE}
    return native | image_scores(guess, truth) | lesion_scores(guess, truth, spacing_mm)


def score_patient(
    patient: Patient,
    predictions: Path,
    raw: dict[str, str],
    labels: str,
    grid: Grid,
    tolerance_mm: float,
) -> list[dict]:
    """A row of scores for each region of one patient, in template and in native space.

    ``predictions`` is the folder of the patient's predictions (``save_prediction``); ``raw`` has
    the path of its ``label`` as drawn and the ``label_scheme``.
    """
    prediction, _ = load_volume(predictions / "label.nii.gz")
    native, affine = canonical_volume(str(predictions / "label_native.nii.gz"))
    drawn = drawn_label(
        raw["label"], raw["label_scheme"], patient.folder, native.shape, affine, raw["geometry"]
    )
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    masks = (
        region_masks(prediction, labels),
        reference_masks(patient.label(), labels),
        region_masks(native.astype(np.uint8), labels),
        reference_masks(drawn, labels),
    )
    rows = []
    for name, guess, truth, *in_native in zip(regions(labels), *masks, strict=True):
        scores = region_scores(guess, truth, grid.spacing_mm, tolerance_mm)
        scores |= native_scores(*in_native, spacing, tolerance_mm)
        scores["reference_ml"] = int(truth.sum()) * grid.voxel_ml
        rows.append({"patient_id": patient.patient_id, "region": name, **scores})
    return rows


def main(snakemake) -> None:
    params, inputs = snakemake.params, snakemake.input
    grid = Grid.from_settings(params.grid)
    rows = []
    for path, label, reading in zip(inputs.images, inputs.drawn, params.readings, strict=True):
        patient = Patient(Path(path).parent)
        predictions = Path(inputs.predictions) / patient.patient_id
        raw = row_of(reading, {"label": label})
        rows += score_patient(patient, predictions, raw, params.labels, grid, params.tolerance_mm)
    table = pd.DataFrame(rows)
    table.insert(0, "split", snakemake.wildcards.split)
    table.insert(1, "arm", snakemake.wildcards.arm)
    write_table(table, snakemake.output.scores)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
