"""Rule ``encode_patients``: latents and attributes of the training patients and their copies, and
where their brains lie."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from workflow_scripts.autoencoder.augment import augment_patient
from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.settings import WarpSettings
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.files import staged, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.common.patients import Patient

# A copy whose tumour shrank below this, or was pushed off the grid, teaches nothing.
SMALLEST_ML = 0.5
ATTEMPTS = 8


def augmented_copy(
    image: NDArray, label: NDArray, grid: Grid, warp: WarpSettings, seed: list[int]
) -> tuple[NDArray, NDArray, dict[str, float]]:
    """A warped copy (M, X, Y, Z), (X, Y, Z) and its attributes, measured after the warp.

    A warp that loses the tumour or makes it touch the grid's edge is drawn again; after
    ``ATTEMPTS`` of those the patient itself is returned.
    """
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([*seed, attempt])
        warped, moved = augment_patient(image, label, grid, warp, rng)
        attributes = tumour_attributes(moved, grid.affine)
        inside = np.pad(moved[1:-1, 1:-1, 1:-1], 1)
        if attributes["volume_ml"] >= SMALLEST_ML and (inside > 0).sum() == (moved > 0).sum():
            return warped, moved, attributes
    return image, label, tumour_attributes(label, grid.affine)


def common_brain(patients: list[Patient]) -> NDArray[np.bool_]:
    """Where at least half of the patients have brain (X, Y, Z)."""
    total = np.zeros(patients[0].brain().shape)
    for patient in patients:
        total += patient.brain()
    return total >= len(patients) / 2


def main(snakemake) -> None:
    params = snakemake.params
    torch.set_num_threads(snakemake.threads)
    codec = Codec.load(Path(snakemake.input.weights).parent)
    patients = [Patient(Path(path).parent) for path in snakemake.input.images]
    rows, copies, warp = [], params.copies + 1, WarpSettings.model_validate(params.warp)
    with staged(snakemake.output.latents) as temporary:
        store = None
        for number, patient in enumerate(patients):
            image, label = patient.image(), patient.label()
            for copy in range(copies):
                attributes = tumour_attributes(label, codec.grid.affine)
                warped, moved = image, label
                if copy:
                    warped, moved, attributes = augmented_copy(
                        image, label, codec.grid, warp, [params.seed, number, copy]
                    )
                latent = codec.encode(warped, moved)
                if store is None:
                    shape = (len(patients) * copies, *latent.shape)
                    store = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
                store[len(rows)] = latent
                rows.append({"patient_id": patient.patient_id, "copy": copy, **attributes})
        store.flush()
    write_table(pd.DataFrame(rows), snakemake.output.attributes)
    save_nifti(common_brain(patients), codec.grid.affine, snakemake.output.brain, np.uint8)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
