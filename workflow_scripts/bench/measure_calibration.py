"""Calibration of the denoiser of a finished run: on its validation patients, outside their tumours,
for detail of several sizes.

    python -m workflow_scripts.bench.measure_calibration results n8-s0 [--uncorrected]

``slope`` is the regression slope of the true latents on the estimated ones. At 1 the estimate is
the conditional mean that sampling needs (Karras et al. 2022, equation 3). Above 1 the estimate is
too close to the mean, and synthetic patients have too little detail of that size; below 1, too
much. ``explained`` is the share of the true detail's variance that the estimate explains,
``variance`` the variance of the estimate over that of the truth, ``error`` the mean squared error
over that variance. ``all`` is detail of all sizes together, ``slice to slice`` are differences in
brightness between neighbouring slices.
"""

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.encode_patients import Copy, encode_copy, unchanged
from workflow_scripts.common.files import UserError, read_table
from workflow_scripts.common.fold import unfold
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient
from workflow_scripts.diffusion.conditions import ellipsoid_of
from workflow_scripts.diffusion.generator import Conditioning, Generator
from workflow_scripts.diffusion.process import Process

# Standard deviations, in mm, of the Gaussians that separate detail by size. Each band is named
# after the smaller one; above the largest it is ``rest``.
WIDTHS_MM = (0.0, 4.0, 8.0, 16.0, 32.0)
LEVELS = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
DRAWS = 2
# Width, in latents, of the squares in a slice that are compared with the neighbouring slices'.
SQUARE = 8


def parts_by_size(
    latents: NDArray[np.float32], spacing_mm: tuple[float, float, float]
) -> dict[str, NDArray[np.float32]]:
    """Decompose latents (B, C, h, w, Z) into detail of several sizes, by differences of
    Gaussians."""
    smooth = [latents]
    for width in WIDTHS_MM[1:]:
        sigma = (0, 0, *(width / mm for mm in spacing_mm))
        smooth.append(ndimage.gaussian_filter(latents, sigma))
    names = [
        f"{low:.0f} to {high:.0f} mm" for low, high in zip(WIDTHS_MM, WIDTHS_MM[1:], strict=False)
    ]
    parts = {name: smooth[i] - smooth[i + 1] for i, name in enumerate(names)}
    return parts | {"rest": smooth[-1]}


def slice_offsets(latents: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Differences (C, n) between the means of squares in a slice, ``SQUARE`` latents wide, and the
    means over three slices, for latents (B, C, h, w, Z) and all squares inside ``where``
    (B, h, w, Z)."""
    squares = functional.avg_pool3d(torch.from_numpy(latents), (SQUARE, SQUARE, 1)).numpy()
    inside = functional.avg_pool3d(torch.from_numpy(where[:, None] * 1.0), (SQUARE, SQUARE, 1))
    offsets = squares - ndimage.uniform_filter1d(squares, 3, axis=-1)
    return offsets.swapaxes(0, 1)[:, inside[:, 0].numpy() > 0.99]


def calibration(
    truth: NDArray, estimate: NDArray, where: NDArray[np.bool_], spacing_mm: tuple
) -> pd.DataFrame:
    """``slope``, ``explained``, ``variance`` and ``error`` for detail of each size and of all,
    of latents (B, C, h, w, Z) in ``where`` (B, h, w, Z); and for differences between slices, of
    squares inside."""

    def values(latents: NDArray) -> dict[str, NDArray]:
        parts = parts_by_size(latents, spacing_mm).items()
        named = {name: part.swapaxes(0, 1)[:, where] for name, part in parts}
        named["all"] = latents.swapaxes(0, 1)[:, where]
        return named | {"slice to slice": slice_offsets(latents, where)}

    rows, estimates = {}, values(estimate)
    for name, known in values(truth).items():
        estimated = estimates[name]
        if known.size:
            shared, own = (known * estimated).sum(), (estimated**2).sum()
            explained = shared**2 / own / (known**2).sum()
            variance = own / (known**2).sum()
            error = ((known - estimated) ** 2).sum() / (known**2).sum()
            rows[name] = {
                "slope": shared / own,
                "explained": explained,
                "variance": variance,
                "error": error,
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def validation_copies(results: Path, split: str, grid: Grid) -> list[Copy]:
    """The validation patients of a run's split. Raises ``UserError`` if there are none."""
    splits = read_table(results / "cohort" / "splits.tsv")
    chosen = splits[(splits["split"] == split) & (splits["role"] == "validation")]["patient_id"]
    folders = [results / "preprocess" / name for name in chosen]
    if not folders or not all((folder / "image.npy").exists() for folder in folders):
        raise UserError(f"{results}: has no preprocessed validation patients of split '{split}'")
    return [unchanged(Patient(folder), grid) for folder in folders]


@dataclass(frozen=True)
class HeldOut:
    """A validation patient as input of the denoiser: latents (1, …) in its space, what the denoiser
    is told of it, and a mask of the brain without tumour (1, h, w, Z)."""

    x0: Tensor
    known: Conditioning
    where: NDArray[np.bool_]


def held_out(copy: Copy, codec: Codec, generator: Generator) -> HeldOut:
    """Encode and render a validation patient. Raises ``UserError`` for a denoiser without an
    anatomy."""
    settings, space = generator.settings, generator.bundle.space
    if settings.anatomy != "tissue":
        raise UserError("diffusion.anatomy: none; this measure needs a denoiser with an anatomy")
    random = np.random.default_rng(0)
    encoded = encode_copy(copy, codec, random, True, settings.layout is not None)
    latents = torch.from_numpy(encoded.latent)[None].float()
    rendered = torch.from_numpy(encoded.rendered)[None].float()
    tissue = torch.from_numpy(encoded.tissue)[None]
    attributes = pd.DataFrame([copy.attributes])
    size = latents.shape[2:]
    brain = functional.adaptive_avg_pool3d(tissue.any(1).float(), size) > 0.9
    tumour = torch.from_numpy(copy.label > 0)[None].float()
    # Oedema fades into the tissue around it.
    margin = functional.max_pool3d(functional.adaptive_max_pool3d(tumour, size), 3, 1, 1) > 0
    known = generator.bundle.condition(
        settings,
        generator.scaling.vectors(attributes),
        ellipsoid_of(attributes),
        torch.ones(1, dtype=torch.bool),
        tissue,
        rendered,
    )
    return HeldOut(space.standardise(latents - rendered), known, (brain & ~margin).numpy())


def estimate(generator: Generator, patient: HeldOut, level: float, seed: int) -> Tensor:
    """The denoiser's estimate of the patient's latents (1, …) at a noise level."""
    random = torch.Generator().manual_seed(seed)
    x = patient.x0 + level * torch.randn(patient.x0.shape, generator=random)
    process, sigma = Process(generator.settings), torch.full((1,), level)
    return generator.bundle.estimate(process, x, sigma, patient.known, "fp32")


@torch.inference_mode()
def measure(results: Path, split: str, corrected: bool = True) -> pd.DataFrame:
    """Rows by noise level (in standard deviations of the latents) and size of detail, on the
    CPU; of the network's estimate alone if it is not to be ``corrected``."""
    codec = Codec.load(results / "autoencoder" / split / "model")
    generator = Generator.load(results / "diffusion" / split / "model")
    if not corrected:
        generator.bundle.correction = None
    copies = validation_copies(results, split, codec.grid)
    patients = [held_out(copy, codec, generator) for copy in copies]
    size = generator.bundle.space.shape[1:]
    spacing = tuple(np.array(codec.grid.extent_mm) / size)

    def unfolded(latents: list[Tensor]) -> NDArray[np.float32]:
        return unfold(torch.cat(latents), generator.settings.patch).numpy()

    truth = unfolded([patient.x0 for patient in patients])
    where = np.concatenate([patient.where for patient in patients])
    tables = []
    for level, draw in itertools.product(LEVELS, range(DRAWS)):
        seeds = itertools.count(draw * len(patients))
        estimates = [estimate(generator, patient, level, next(seeds)) for patient in patients]
        table = calibration(truth, unfolded(estimates), where, spacing)
        tables.append(table.assign(noise_level=level))
    table = pd.concat(tables).rename_axis("detail").reset_index()
    return table.groupby(["noise_level", "detail"], sort=False).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("split")
    parser.add_argument(
        "--uncorrected", action="store_true", help="without the correction (diffusion.correction)"
    )
    options = parser.parse_args()
    table = measure(options.results, options.split, not options.uncorrected)
    for name in table:
        print(f"{name}:\n{table[name].unstack('detail').round(2).to_string()}\n")


if __name__ == "__main__":
    main()
