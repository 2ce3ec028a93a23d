"""The groups of patients of a split that are compared, and the table of measures."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.files import write_table
from workflow_scripts.common.patients import Patient, patient_folders, save_patient
from workflow_scripts.common.subsets import evenly_chosen
from workflow_scripts.evaluation.quality import Groups, Row


def reconstruct(folders: Sequence[Path], codec: Codec, target: Path) -> list[Path]:
    """Patients after the autoencoder, in folders of ``target`` with the same names."""
    reconstructed = []
    for patient in map(Patient, folders):
        reconstructed.append(target / patient.patient_id)
        volumes = codec.decode(codec.encode(patient.image(), patient.label()))
        save_patient(reconstructed[-1], *volumes, codec.grid.affine)
    return reconstructed


@contextlib.contextmanager
def patient_groups(inputs: Any, codec: Codec) -> Iterator[Groups]:
    """The groups of patients in a rule's inputs, for the block that compares them."""
    train, held_out = (
        [Path(path).parent for path in inputs[side]] for side in ("train", "held_out")
    )
    with tempfile.TemporaryDirectory() as folder:
        # For the floor, as many as there are held-out patients.
        chosen = [train[k] for k in evenly_chosen(len(train), len(held_out))]
        yield {
            "train": train,
            "held_out": held_out,
            "reconstructed_train": reconstruct(chosen, codec, Path(folder)),
            "reconstructed": [Path(inputs.reconstructions) / side.name for side in held_out],
            "synthetic": patient_folders(inputs.synthetic),
        }


def write_rows(rows: Iterable[Row], split: str, path: str) -> None:
    """Write the quality table of a split."""
    table = pd.DataFrame(rows, columns=Row._fields)
    table.insert(0, "split", split)
    write_table(table, path)
