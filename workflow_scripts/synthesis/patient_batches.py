"""Synthetic patients from requests, written to disk batch by batch."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.common.attributes import CONDITIONS, SHARES
from workflow_scripts.common.files import UserError, read_table, write_json, write_table
from workflow_scripts.common.patients import save_patient
from workflow_scripts.common.progress import Progress
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.request_table import CENTROID
from workflow_scripts.synthesis.requests import reason_to_refuse
from workflow_scripts.synthesis.sampling import Sample, synthesise
from workflow_scripts.synthesis.settings import SamplingSettings

# Shares are compared if they are requested and the label has regions.
COMPARED = ("volume_ml", *CENTROID, "sphericity", *SHARES)
# Measures of the whole patient, which are not requested.
WHOLE = ("brain_pieces", "hole_voxels")
DRAWS = ("measured", "first")
COLUMNS = (
    "patient_id",
    "anatomy",
    "attempts",
    "outcome",
    "first_outcome",
    *(f"{side}_{name}" for name in COMPARED for side in ("requested", *DRAWS)),
    *(f"{side}_{name}" for name in WHOLE for side in DRAWS),
)


def make_patients(
    requests: pd.DataFrame, model: SynthesisModel, settings: SamplingSettings, folder: Path
) -> pd.DataFrame:
    """Write ``patients/<patient_id>/`` into ``folder`` for completed requests, and return the rows
    of ``attributes.tsv``: requested and measured attributes, volume 0 if no draw had a tumour.

    ``anatomy`` is the source of the brain: a phantom, a training patient, or a folder.
    ``measured_<attribute>`` and ``outcome`` are those of the selected draw, ``first_<attribute>``
    and ``first_outcome`` those of the first draw, before any selection. ``brain_pieces`` is the
    number of the brain's pieces of at least 1 mL, ``hole_voxels`` the number of voxels in the
    label's 3-D holes.

    Batches that exist in ``folder``, from a run that was killed, are not sampled again. A request
    that was never met has a row with the reason in ``outcome``. Requests without room in the brain
    are refused before (``refuse_impossible``).
    """
    (folder / "patients").mkdir(parents=True, exist_ok=True)
    tables = [pd.DataFrame(columns=COLUMNS)]
    progress = Progress(len(requests), "patients made")
    for first in range(0, len(requests), settings.batch):
        part = requests.iloc[first : first + settings.batch]
        done = folder / "batches" / f"{first:06d}.tsv"
        if not done.is_file():
            write_table(_make_batch(part, model, settings, folder / "patients"), done)
        tables.append(read_table(done))
        progress.done(first + len(part))
    # Without requests, the empty table still has its columns.
    return pd.concat(tables[1:], ignore_index=True) if len(tables) > 1 else tables[0]


def refuse_impossible(requests: pd.DataFrame, model: SynthesisModel) -> None:
    """Raise ``UserError`` naming each request without room for its tumour or with an unusable
    anatomy, and the reason."""
    reasons = []
    for _, request in requests.iterrows():
        try:
            brain = model.brain_for(request)
        except UserError as error:
            reasons.append(f"{request['patient_id']}: {error}")
            continue
        if reason := reason_to_refuse(request, brain, model.codec.grid):
            reasons.append(f"{request['patient_id']}: {reason}")
    if reasons:
        raise UserError("impossible requests: " + "; ".join(reasons))


def _make_batch(
    requests: pd.DataFrame, model: SynthesisModel, settings: SamplingSettings, folder: Path
) -> pd.DataFrame:
    rows = []
    for name in requests["patient_id"]:
        # Remains of a killed attempt at this batch.
        shutil.rmtree(folder / str(name), ignore_errors=True)
    for (_, request), sample in zip(
        requests.iterrows(), synthesise(requests, model, settings), strict=True
    ):
        rows.append(_compared(request, sample))
        if sample.usable:
            _save(folder / str(request["patient_id"]), request, sample, model, settings)
        else:
            logging.warning(
                "%s: no tumour in %d draws, omitted", request["patient_id"], sample.attempts
            )
    return pd.DataFrame(rows)


def _compared(request: pd.Series, sample: Sample) -> dict[str, float | str]:
    row = {
        "patient_id": request["patient_id"],
        "anatomy": request["anatomy"],
        "attempts": sample.attempts,
        "outcome": sample.outcome,
        "first_outcome": sample.first.outcome,
    }
    draws = dict(zip(DRAWS, (sample.measured, sample.first.measured), strict=True))
    for name in COMPARED:
        row[f"requested_{name}"] = float(request[name])
        row |= {f"{side}_{name}": float(measured[name]) for side, measured in draws.items()}
    for name in WHOLE:
        row |= {f"{side}_{name}": int(measured[name]) for side, measured in draws.items()}
    return row


def _known(measured: dict[str, float]) -> dict[str, float | None]:
    """Measured attributes with ``None`` in place of NaN, which JSON lacks."""
    return {name: None if np.isnan(value) else value for name, value in measured.items()}


def _save(
    folder: Path,
    request: pd.Series,
    sample: Sample,
    model: SynthesisModel,
    settings: SamplingSettings,
) -> None:
    volumes = (sample.image, sample.label, sample.brain)
    save_patient(folder, *volumes, model.codec.grid.affine, model.codec.modalities)
    record = {
        "request": _known({name: float(request[name]) for name in (*CONDITIONS, *SHARES)}),
        "measured": _known(sample.measured),
        "first": {"outcome": sample.first.outcome, "measured": _known(sample.first.measured)},
        "seed": int(request["seed"]),
        "anatomy": request["anatomy"],
        "attempts": sample.attempts,
        "outcome": sample.outcome,
        "sampling_steps": settings.sampling_steps,
        "sigma_max": settings.sigma_max,
        "sigma_min": settings.sigma_min,
        "stochasticity": settings.stochasticity,
        "order": settings.order,
        "guidance": settings.guidance,
        "models_sha256": model.weights_sha256,
    }
    write_json(record, folder / "request.json")
