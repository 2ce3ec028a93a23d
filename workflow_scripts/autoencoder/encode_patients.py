"""Rule ``encode_patients``: latents and attributes of the training patients and their copies."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from workflow_scripts.autoencoder.augment import augment_patient
from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.files import staged, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient

# A copy whose tumour shrank below this, or was pushed off the grid, teaches nothing.
SMALLEST_ML = 0.5
ATTEMPTS = 8


def augmented_copy(
    image: NDArray, label: NDArray, grid: Grid, seed: list[int]
) -> tuple[NDArray, NDArray, dict[str, float]]:
    """A warped copy (M, X, Y, Z), (X, Y, Z) and its attributes, measured after the warp.

    A warp that loses the tumour or makes it touch the grid's edge is drawn again; after
    ``ATTEMPTS`` of those the patient itself is returned.
    """
    for attempt in range(ATTEMPTS):
        warped, moved = augment_patient(image, label, grid, np.random.default_rng([*seed, attempt]))
        attributes = tumour_attributes(moved, grid.affine)
        inside = np.pad(moved[1:-1, 1:-1, 1:-1], 1)
        if attributes["volume_ml"] >= SMALLEST_ML and (inside > 0).sum() == (moved > 0).sum():
            return warped, moved, attributes
    return image, label, tumour_attributes(label, grid.affine)


def main(snakemake) -> None:
    params = snakemake.params
    torch.set_num_threads(snakemake.threads)
    codec = Codec.load(Path(snakemake.input.weights).parent)
    patients = [Patient(Path(path).parent) for path in snakemake.input.images]
    rows, copies = [], params.copies + 1
    with staged(snakemake.output.latents) as temporary:
        store = None
        for number, patient in enumerate(patients):
            image, label = patient.image(), patient.label()
            for copy in range(copies):
                attributes = tumour_attributes(label, codec.grid.affine)
                warped, moved = image, label
                if copy:
                    warped, moved, attributes = augmented_copy(
                        image, label, codec.grid, [params.seed, number, copy]
                    )
                latent = codec.encode(warped, moved)
                if store is None:
                    shape = (len(patients) * copies, *latent.shape)
                    store = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
                store[len(rows)] = latent
                rows.append({"patient_id": patient.patient_id, "copy": copy, **attributes})
        store.flush()
    write_table(pd.DataFrame(rows), snakemake.output.attributes)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
