"""The choice of the sampler's settings: measures and criteria."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient
from workflow_scripts.evaluation.adherence import DISTANCE, MET, SMALL, draw_adherence
from workflow_scripts.evaluation.image_measures import away_from, fine_detail
from workflow_scripts.evaluation.whole_brains import whole_brain
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.patient_batches import make_patients
from workflow_scripts.synthesis.settings import SamplingSettings

MEASURES = ("slice_ratio", "outline_roughness", "fine_detail")
# Largest share of patients without a tumour or with a torn brain. Holes in labels are reported, but
# are no criterion.
FAULTY = 0.05
# Largest bias of the volume in either direction, and largest 95th percentile of the centroids'
# distance (mm).
BIAS, CENTROID_MM = 1.05, 4.0
# Image distances that differ by less count as equal.
TIE = 0.01


def image_measures(patient: Patient, grid: Grid) -> dict[str, float]:
    """Measures of a patient's images by the names in ``MEASURES``; all are above 0. Fine detail is
    the mean over modalities."""
    inside = patient.foreground()
    away = away_from(patient.label() > 0, inside)
    measures = whole_brain(patient, grid)
    measures["fine_detail"] = float(fine_detail(patient.image(), inside, away).mean())
    return {name: measures[name] for name in MEASURES}


def sampled(
    requests: pd.DataFrame, model: SynthesisModel, sampling: dict[str, float]
) -> pd.DataFrame:
    """The rows of ``attributes.tsv`` for one draw of each completed request, with the patients'
    image measures, NaN if missing.

    The noise depends on the requests' seeds and is the same for all settings. Requests without room
    in the mean brain are drawn too, since each is the tumour of a phantom.
    """
    settings = SamplingSettings.model_validate({**sampling, "attempts": 1})
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        table = make_patients(requests, model, settings, Path(folder))
        for name in table["patient_id"]:
            patient = Path(folder, "patients", str(name))
            # Samples without a tumour are not written.
            values = image_measures(Patient(patient), model.codec.grid) if patient.is_dir() else {}
            rows.append({measure: values.get(measure, np.nan) for measure in MEASURES})
    return pd.concat([table, pd.DataFrame(rows, index=table.index)], axis=1)


def judged(table: pd.DataFrame, reference: pd.DataFrame, confidence: float) -> dict[str, float]:
    """The summary of one setting, from the table of ``sampled``.

    ``reference`` has the image measures of the same phantoms after the model's autoencoder. A
    measure's value is the ratio of the means of the synthetic patients and of their phantoms, and
    ``image_distance`` is the sum of |log ratio| over the measures.
    """
    sure = 1, confidence, 0
    rows = {row["attribute"]: row for row in draw_adherence(table, "first", *sure)}
    volume, distance = rows["volume_ml"], rows[DISTANCE]
    outcomes = table["first_outcome"]
    summary = {
        "n_requests": len(table),
        **{name: int((outcomes == name).sum()) for name in ("missing", "torn", "holes")},
        "met": rows[MET]["share"],
        **{f"volume_{name}": volume[name] for name in ("bias", "bias_low", "bias_high", "r2")},
        "small_volume_median": rows[SMALL]["median"],
        "sphericity_bias": rows["sphericity"]["bias"],
        "centroid_median_mm": distance["median"],
        "centroid_p95_mm": distance["p95"],
    }
    phantoms = reference.set_index("patient_id").loc[table["patient_id"]]
    has_patient = table[MEASURES[0]].notna().to_numpy()
    for name in MEASURES:
        summary[name] = float(
            table.loc[has_patient, name].mean() / phantoms.loc[has_patient, name].mean()
        )
    logs = np.abs(np.log([summary[name] for name in MEASURES]))
    return {**summary, "image_distance": float(logs.sum())}


def left_out(table: pd.DataFrame) -> pd.Series:
    """The criterion that excluded each setting; empty for the chosen one.

    A row of ``table`` has the setting's guidance, stochasticity and steps, and the values of
    ``judged``.

    Criteria are applied one after another. If no remaining setting meets a criterion, the closest
    ones remain.

    1. ``faults``: more than ``FAULTY`` of the patients have no tumour or a torn brain.
    2. ``volume``: the bias of the volume is above ``BIAS``, or below 1 / ``BIAS``.
    3. ``place``: the 95th percentile of the centroids' distance is above ``CENTROID_MM``.
    4. ``image``: another setting's image measures are closer to those of the phantoms, by
       ``image_distance``. Of those that differ by less than ``TIE`` the one with the fewest steps
       is chosen, then the one with the least guidance, then the one with the highest stochasticity.
    """
    faulty = (table["missing"] + table["torn"]) / table["n_requests"]
    criteria = {
        "faults": (faulty, FAULTY),
        "volume": (np.log(table["volume_bias"]).abs(), np.log(BIAS)),
        "place": (table["centroid_p95_mm"], CENTROID_MM),
        "image": (table["image_distance"], -np.inf),
    }
    reasons = pd.Series("", index=table.index)
    for name, (values, most) in criteria.items():
        values = values.fillna(np.inf)
        remaining = reasons == ""
        slack = TIE if name == "image" else 0.0
        fits = values <= max(most, values[remaining].min() + slack)
        reasons[remaining & ~fits] = name
    best = table[reasons == ""].sort_values(
        ["sampling_steps", "guidance", "stochasticity"], ascending=[True, True, False]
    )
    reasons[best.index[1:]] = "image"
    return reasons
