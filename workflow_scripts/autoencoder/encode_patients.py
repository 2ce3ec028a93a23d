"""Rule ``encode_patients``: latents, tumours and attributes of the training patients and their
copies, and where their brains lie."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from workflow_scripts.autoencoder.augment import augment_patient
from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.settings import WarpSettings
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.files import staged, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.stored import pack_mask, write_row

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


class Copies(Dataset):
    """Patients with their copies, in order: each with its name, the copy's number (0 being the
    patient), image (M, X, Y, Z), label (X, Y, Z) and attributes."""

    def __init__(
        self, folders: list[Path], copies: int, grid: Grid, warp: WarpSettings, seed: int
    ) -> None:
        self.folders, self.each, self.grid, self.warp = folders, copies + 1, grid, warp
        self.seed = seed

    def __len__(self) -> int:
        return len(self.folders) * self.each

    def __getitem__(self, index: int) -> tuple[str, int, NDArray, NDArray, dict[str, float]]:
        number, copy = divmod(index, self.each)
        patient = Patient(self.folders[number])
        image, label = patient.image(), patient.label()
        if copy:
            made = augmented_copy(image, label, self.grid, self.warp, [self.seed, number, copy])
        else:
            made = image, label, tumour_attributes(label, self.grid.affine)
        return patient.patient_id, copy, *made


def main(snakemake) -> None:
    params = snakemake.params
    torch.set_num_threads(snakemake.threads)
    codec = Codec.load(Path(snakemake.input.weights).parent)
    folders = [Path(path).parent for path in snakemake.input.images]
    warp = WarpSettings.model_validate(params.warp)
    copies, rows = Copies(folders, params.copies, codec.grid, warp, params.seed), []
    # A GPU encodes faster than one process warps.
    workers = snakemake.threads - 1 if torch.cuda.is_available() else 0
    progress = Progress(len(copies), "volumes encoded")
    made = snakemake.output
    with staged(made.latents) as latents, staged(made.tumours) as tumours:
        for name, copy, image, label, attributes in DataLoader(
            copies, batch_size=None, num_workers=workers, collate_fn=lambda item: item
        ):
            latent = codec.encode(image, label).astype(np.float16)
            write_row(latents, len(rows), len(copies), latent)
            write_row(tumours, len(rows), len(copies), pack_mask(label > 0))
            rows.append({"patient_id": name, "copy": copy, **attributes})
            progress.done(len(rows))
    write_table(pd.DataFrame(rows), made.attributes)
    save_nifti(
        common_brain([Patient(folder) for folder in folders]),
        codec.grid.affine,
        made.brain,
        np.uint8,
    )


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
