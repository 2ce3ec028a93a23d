"""Rule ``train_diffusion``: the conditional denoiser, trained on one split's latents."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.common.attributes import SHARES
from workflow_scripts.common.device import device, resolve_precision
from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.fold import fold, unfold
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.job import training_job
from workflow_scripts.common.stored import StoredRows
from workflow_scripts.common.weights import save_model
from workflow_scripts.diffusion.conditions import Scaling, ellipsoid_of
from workflow_scripts.diffusion.correction import Correction, Example, fit_correction
from workflow_scripts.diffusion.generator import Bundle, build_bundle, load_bundle
from workflow_scripts.diffusion.latents import fit_latent_space
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.diffusion.train import Denoisers, DiffusionTraining, LatentBatches
from workflow_scripts.preprocess.contrasts import fill_intensities, region_volumes
from workflow_scripts.preprocess.tissue import mean_quantiles


def rows_to_fit(copies: Sequence[int], count: int, seed: int) -> NDArray[np.int64]:
    """Indices (``count``,) of training samples for the correction, at most all.

    ``copies`` has the number of the copy of each sample, 0 for the patient as it is. Patients come
    first, then first copies, and so on; the order within each is random.
    """
    order = np.random.default_rng(seed).permutation(len(copies))
    return order[np.argsort(np.asarray(copies)[order], kind="stable")][:count]


def from_nothing(
    settings: DiffusionSettings,
    latents: StoredRows,
    rendered: StoredRows | None,
    attributes: pd.DataFrame,
    grid: Grid,
    modalities: int,
    patients: int,
) -> tuple[Bundle, Scaling]:
    """Untrained networks for a training without a prior, with the space of the training ``latents``
    and the scaling of the conditions.

    ``latents`` and ``rendered`` are (N, C, h, w, Z), ``rendered`` is ``None`` without an anatomy.
    ``attributes`` has one row per training sample; images have ``modalities`` channels.
    ``patients`` is 1 for a cohort's patients, and 0 for a prior's phantoms. Raises ``UserError`` as
    ``fit_latent_space`` does.
    """
    space = fit_latent_space(latents, rendered, grid, modalities, settings)
    return build_bundle(settings, space, grid), Scaling.fit(attributes, patients)


def correct(
    bundle: Bundle,
    settings: DiffusionSettings,
    batches: LatentBatches,
    rows: Sequence[int],
    seed: int,
) -> Correction:
    """The linear correction of a trained denoiser's estimates (``correction.py``), fitted to the
    training samples with the indices ``rows``, on the device."""
    bundle, process = bundle.to(device()), Process(settings)
    present = torch.ones(1, dtype=torch.bool, device=device())
    patch = bundle.space.patch

    def example(row: int) -> Example:
        latent, vectors, ellipsoids, tissue, rendered, _ = (
            part.to(device()) for part in batches.rows([row])
        )
        around = bundle.space.surroundings(ellipsoids, tissue, rendered)
        conditioning = bundle.condition(settings, vectors, ellipsoids, present, tissue, rendered)

        def estimate(noisy: Tensor, sigma: Tensor) -> Tensor:
            folded = fold(noisy, patch)
            return unfold(
                bundle.estimate(process, folded, sigma, conditioning, settings.precision), patch
            )

        latents = unfold(bundle.space.standardise(latent.float() - rendered.float()), patch)
        return Example(latents, around, estimate)

    with torch.inference_mode():
        return fit_correction((example(row) for row in rows), bundle.space.shape[0], seed)


def main(snakemake) -> None:
    params = snakemake.params
    settings = DiffusionSettings.model_validate(params.settings)
    torch.set_num_threads(snakemake.threads)
    torch.manual_seed(params.seed)
    latents = StoredRows(snakemake.input.latents)
    attributes = read_table(snakemake.input.attributes)
    rendered = StoredRows(snakemake.input.rendered) if settings.anatomy == "tissue" else None
    grid = Grid.from_settings(params.grid)
    if prior := snakemake.input.prior:
        # A trained denoiser works only in the space and with the scaling that it was trained with.
        start, _, scaling = load_bundle(Path(prior).parent)
        scaling = replace(scaling, patients=params.patients)
    else:
        start, scaling = from_nothing(
            settings, latents, rendered, attributes, grid, len(params.modalities), params.patients
        )
    anatomy = quantiles = None
    if rendered is not None:
        contrasts, intensities = (
            np.load(snakemake.input[name]) for name in ("contrasts", "intensities")
        )
        volumes = region_volumes(attributes)
        start.space.keep_contrasts(contrasts, fill_intensities(intensities, contrasts, volumes))
        tissue = StoredRows(snakemake.input.tissue)
        anatomy = tissue, rendered
        # Phantoms' tissue maps are matched to these quantiles when they are anatomies of synthetic
        # patients. A prior, trained on phantoms, needs no matching.
        if params.patients:
            own = np.flatnonzero(attributes["copy"] == 0)
            quantiles = mean_quantiles(tissue[row] / 255 for row in own).round(4).tolist()
    process = Process(settings)
    networks = Denoisers(start.denoiser, start.layout)
    # Whether the training patients' labels distinguish regions of a tumour.
    regions = bool(attributes[list(SHARES)].notna().any(axis=None))
    training = DiffusionTraining(
        networks, process, start.space, settings, grid, params.seed, regions
    )
    conditions, ellipsoids = scaling.vectors(attributes), ellipsoid_of(attributes)
    tumours = StoredRows(snakemake.input.tumours) if settings.layout else None
    batches = LatentBatches(
        latents, conditions, ellipsoids, anatomy, settings.batch, params.seed, tumours
    )
    count = int((attributes["copy"] == 0).sum())
    learns_from = f"{count} training patients and {len(attributes) - count} copies"
    with training_job(snakemake, training, batches, learns_from) as history:
        trained = training.average.module
        bundle = Bundle(trained.denoiser, start.space, trained.layout).eval()
        if settings.correction:
            rows = rows_to_fit(attributes["copy"], settings.correction, params.seed)
            bundle.correction = correct(bundle, settings, batches, rows, params.seed)
        bundle.cpu()
        config = {
            "settings": params.settings,
            "precision": resolve_precision(settings.precision),
            "grid": params.grid,
            "latent_shape": list(latents.shape[1:]),
            "modalities": params.modalities,
            "scaling": scaling.to_dict(),
            "regions": regions,
            # Quantiles of each tissue's fraction over the training patients' voxels.
            "tissue_quantiles": quantiles,
            # The phantoms whose brains are anatomies of synthetic patients.
            "phantom": params.phantom,
            "preprocess": params.preprocess,
        }
        save_model(Path(snakemake.output.weights).parent, bundle, config)
        write_table(history, snakemake.output.history)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
