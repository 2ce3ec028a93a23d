"""Similarity of the modalities of one patient, of another patient's modality, and of a turned one:
a row of the table in ``docs/numbers.md``, from which ``LEAST_SIMILARITY`` was chosen.

    python -m workflow_scripts.bench.measure_similarity results/cohort/participants.tsv
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from workflow_scripts.common.files import read_table
from workflow_scripts.common.modalities import MODALITIES, reference_modality
from workflow_scripts.preprocess.align import (
    LEAST_SIMILARITY,
    compare_modalities,
    find_brain,
    register_modalities,
)
from workflow_scripts.preprocess.raw_patient import RawPatient, read_raw
from workflow_scripts.preprocess.similarity import Comparison
from workflow_scripts.preprocess.skull_strip import stripped_mask
from workflow_scripts.preprocess.volumes import to_image

TURN_DEG = 30
OWN, OTHER, TURNED = "own", "another patient's", f"turned by {TURN_DEG} degrees"


def turns(image: sitk.Image) -> list[sitk.Transform]:
    """Rotations by ``TURN_DEG`` about each axis through the middle of an image."""
    middle = [(n - 1) / 2 for n in image.GetSize()]
    rotations = []
    for angles in np.deg2rad(TURN_DEG) * np.eye(3):
        rotation = sitk.Euler3DTransform()
        rotation.SetCenter(image.TransformContinuousIndexToPhysicalPoint(middle))
        rotation.SetRotation(*angles.tolist())
        rotations.append(rotation)
    return rotations


def measure(raw: RawPatient, other: RawPatient | None, modality: str) -> list[tuple[str, float]]:
    """Similarities of a patient with the reference, each with its kind: of all own modalities, of
    a ``modality`` that is turned after registration, and of the same one of an ``other`` patient,
    registered."""
    volume, affine = raw.images[raw.reference], raw.affines[raw.reference]
    stripped = stripped_mask(volume, affine)
    brain = find_brain(raw, "auto", {}, stripped).astype(np.uint8)
    comparison = Comparison(to_image(volume, affine), to_image(brain, affine))

    def compared(patient: RawPatient) -> list[float]:
        to_modality = register_modalities(patient, "auto", stripped is not None)
        values = compare_modalities(patient, to_modality, comparison).values()
        return [value for value in values if value is not None]

    similarities = [(OWN, value) for value in compared(raw)]
    moving = to_image(raw.images[modality], raw.affines[modality])
    similarities += [(TURNED, comparison.similarity(moving, turn)) for turn in turns(moving)]
    if other:
        images = {raw.reference: volume, modality: other.images[modality]}
        affines = {raw.reference: affine, modality: other.affines[modality]}
        similarities += [
            (OTHER, value) for value in compared(replace(raw, images=images, affines=affines))
        ]
    return similarities


def measure_all(participants: pd.DataFrame, patients: int) -> pd.DataFrame:
    """Columns ``kind`` and ``similarity`` of so many patients of a cohort, evenly chosen. The other
    patient of each is the one before."""
    modalities = [name for name in MODALITIES if name in participants]
    reference = reference_modality(modalities)
    others = [name for name in modalities if name != reference]
    modality = "flair" if "flair" in others else others[0]
    chosen = np.unique(np.linspace(0, len(participants) - 1, patients).round().astype(int))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    rows: list[tuple[str, float]] = []
    before = None
    for row in participants.iloc[chosen].to_dict("records"):
        raw = read_raw(row, modalities, reference)
        rows += measure(raw, before, modality)
        before = raw
    return pd.DataFrame(rows, columns=["kind", "similarity"])


def table_row(table: pd.DataFrame) -> str:
    """A row of Markdown: range and warnings of each kind."""
    cells = []
    for kind in (OWN, OTHER, TURNED):
        values = table.loc[table["kind"] == kind, "similarity"]
        warned = int((values < LEAST_SIMILARITY).sum())
        cells.append(f"{values.min():.2f} to {values.max():.2f}, warned {warned} of {len(values)}")
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("participants", type=Path, help="participants.tsv of a run")
    parser.add_argument("--patients", type=int, default=10, help="so many of them, evenly chosen")
    options = parser.parse_args(arguments)
    participants = read_table(options.participants)
    print(table_row(measure_all(participants, min(options.patients, len(participants)))))


if __name__ == "__main__":
    main()
