"""Rule ``encode_patients``: latents, tumours, tissue maps, contrasts and attributes of the training
patients and their copies, latents of the same patients rendered, and their common brain mask."""

from dataclasses import dataclass
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
from workflow_scripts.common.labels import nested_masks
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.common.patients import Patient, steps_of
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.stored import pack_mask, write_row
from workflow_scripts.preprocess.contrasts import (
    draw_contrasts,
    fit_contrasts,
    paint_regions,
    region_intensities,
)
from workflow_scripts.preprocess.tissue import mirrored_around

# Copies with a smaller tumour, or one that touches the grid's edge, are drawn again.
SMALLEST_ML = 0.5
ATTEMPTS = 8
# Share of volumes whose tissue maps are mirrored in a region larger than the tumour, and the
# largest margin of that region, as a share of the tumour's radius.
WIDENED, WIDEST = 0.5, 1.0


def without_seam(
    tissue: NDArray[np.float32], label: NDArray[np.uint8], grid: Grid, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Tissue maps (3, X, Y, Z) that do not reveal the outline of the tumour in a label (X, Y, Z).

    Where the tumour hides the tissue, the maps are mirrored (``preprocess/tissue.py``), and the
    seam would reveal the outline. In a share ``WIDENED`` of the volumes a margin around the tumour
    is mirrored too.
    """
    widened, share = rng.random() < WIDENED, WIDEST * rng.random()
    volume_mm3 = (label > 0).sum() * grid.voxel_ml * 1000
    radius = (volume_mm3 * 3 / (4 * np.pi)) ** (1 / 3)
    return mirrored_around(tissue, label > 0, share * radius, grid) if widened else tissue


@dataclass(frozen=True)
class Copy:
    """A patient or a warped copy: image (M, X, Y, Z), label (X, Y, Z), tissue maps (3, X, Y, Z) and
    the tumour's attributes, measured after the warp."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    tissue: NDArray[np.float32]
    attributes: dict[str, float]


def unchanged(patient: Patient, grid: Grid) -> Copy:
    """The unchanged patient."""
    label = patient.label()
    attributes = tumour_attributes(label, grid.affine)
    return Copy(patient.image(), label, patient.tissue(), attributes)


def warped_copy(patient: Copy, grid: Grid, warp: WarpSettings, seed: list[int]) -> Copy:
    """A warped copy of a patient.

    A warp that loses the tumour or lets it touch the grid's edge is drawn again. After ``ATTEMPTS``
    such warps the patient itself is returned.
    """
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([*seed, attempt])
        image, label, tissue = augment_patient(
            patient.image, patient.label, patient.tissue, grid, warp, rng
        )
        attributes = tumour_attributes(label, grid.affine)
        inside = np.pad(label[1:-1, 1:-1, 1:-1], 1)
        if attributes["volume_ml"] >= SMALLEST_ML and (inside > 0).sum() == (label > 0).sum():
            return Copy(image, label, tissue, attributes)
    return patient


@dataclass(frozen=True)
class Encoded:
    """The denoiser's training data from a copy: scaled latents (C, h, w, Z), tissue maps
    (3, X, Y, Z), 0 to 255, contrasts (3, terms, M), intensities of the tumour's regions (3, M), and
    the scaled latents (C, h, w, Z) of the image rendered from these, or none, (0,)."""

    latent: NDArray[np.float16]
    tissue: NDArray[np.uint8]
    contrasts: NDArray[np.float32]
    intensities: NDArray[np.float32]
    rendered: NDArray[np.float16]


def encode_copy(
    copy: Copy, codec: Codec, rng: np.random.Generator, render: bool, layout: bool
) -> Encoded:
    """Encode a copy, and with ``render`` its rendered image: with the tumour if ``layout``,
    otherwise the brain only."""
    contrasts = fit_contrasts(copy.image, copy.tissue, copy.label, codec.grid)
    maps = without_seam(copy.tissue, copy.label, codec.grid, rng)
    brain = draw_contrasts(contrasts, maps, codec.grid)
    intensities = region_intensities(copy.image, brain, copy.label)
    rendered = np.zeros(0)
    if render:
        label = copy.label if layout else np.zeros_like(copy.label)
        rendered = codec.encode(paint_regions(brain, label, intensities), label)
    return Encoded(
        codec.encode(copy.image, copy.label).astype(np.float16),
        steps_of(maps),
        contrasts,
        intensities,
        rendered.astype(np.float16),
    )


def common_brain(patients: list[Patient]) -> NDArray[np.bool_]:
    """Mask (X, Y, Z) of the voxels that are brain in at least half of the patients."""
    total = np.zeros(patients[0].brain().shape)
    for patient in patients:
        total += patient.brain()
    return total >= len(patients) / 2


class Copies(Dataset):
    """Patients with their copies, in order: each with the patient's name and the copy's number; 0
    is the patient."""

    def __init__(
        self, folders: list[Path], copies: int, grid: Grid, warp: WarpSettings, seed: int
    ) -> None:
        self.folders, self.each, self.grid, self.warp = folders, copies + 1, grid, warp
        self.seed = seed

    def __len__(self) -> int:
        return len(self.folders) * self.each

    def __getitem__(self, index: int) -> tuple[str, int, Copy]:
        number, copy = divmod(index, self.each)
        patient = Patient(self.folders[number])
        result = unchanged(patient, self.grid)
        if copy:
            result = warped_copy(result, self.grid, self.warp, [self.seed, number, copy])
        return patient.patient_id, copy, result


def main(snakemake) -> None:
    params = snakemake.params
    torch.set_num_threads(snakemake.threads)
    codec = Codec.load(Path(snakemake.input.weights).parent)
    folders = [Path(path).parent for path in snakemake.input.images]
    warp = WarpSettings.model_validate(params.warp)
    copies, rows = Copies(folders, params.copies, codec.grid, warp, params.seed), []
    # A GPU encodes faster than one process can warp.
    workers = snakemake.threads - 1 if torch.cuda.is_available() else 0
    progress = Progress(len(copies), "volumes encoded")
    outputs, count = snakemake.output, len(copies)
    loader = DataLoader(copies, batch_size=None, num_workers=workers, collate_fn=lambda item: item)
    with (
        staged(outputs.latents) as latents,
        staged(outputs.tumours) as tumours,
        staged(outputs.tissue) as tissue,
        staged(outputs.contrasts) as contrasts,
        staged(outputs.intensities) as intensities,
        staged(outputs.rendered) as rendered,
    ):
        for row, (name, number, copy) in enumerate(loader):
            rng = np.random.default_rng([params.seed, row])
            encoded = encode_copy(copy, codec, rng, params.render, params.layout)
            write_row(latents, row, count, encoded.latent)
            write_row(tumours, row, count, pack_mask(nested_masks(copy.label)))
            write_row(tissue, row, count, encoded.tissue)
            write_row(contrasts, row, count, encoded.contrasts)
            write_row(intensities, row, count, encoded.intensities)
            write_row(rendered, row, count, encoded.rendered)
            rows.append({"patient_id": name, "copy": number, **copy.attributes})
            progress.done(row + 1)
    write_table(pd.DataFrame(rows), outputs.attributes)
    save_nifti(
        common_brain([Patient(folder) for folder in folders]),
        codec.grid.affine,
        outputs.brain,
        np.uint8,
    )


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
