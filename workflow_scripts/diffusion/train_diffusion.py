"""Rule ``train_diffusion``: weights of the conditional denoiser from one split's latents."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from workflow_scripts.common.device import arithmetic
from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.job import training_job
from workflow_scripts.common.stored import StoredRows
from workflow_scripts.common.weights import save_model
from workflow_scripts.diffusion.conditions import Scaling, ellipsoid_of
from workflow_scripts.diffusion.generator import Bundle, build_model, load_bundle
from workflow_scripts.diffusion.latents import fit_latent_space
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.diffusion.train import DiffusionTraining, LatentBatches


def from_nothing(
    settings: DiffusionSettings,
    latents: StoredRows,
    rendered: StoredRows | None,
    attributes: pd.DataFrame,
    grid: Grid,
    modalities: int,
    patients: int,
) -> tuple[Bundle, Scaling]:
    """An untrained denoiser, the space of the training latents (N, C, h, w, Z) and those that were
    ``rendered``, and the scaling of the conditions; ``patients`` is 0 for a prior's phantoms."""
    space = fit_latent_space(latents, rendered, grid, modalities, settings)
    return Bundle(build_model(settings, space, grid), space), Scaling.fit(attributes, patients)


def main(snakemake) -> None:
    params = snakemake.params
    settings = DiffusionSettings.model_validate(params.settings)
    torch.set_num_threads(snakemake.threads)
    torch.manual_seed(params.seed)
    latents = StoredRows(snakemake.input.latents)
    attributes = read_table(snakemake.input.attributes)
    rendered = StoredRows(snakemake.input.rendered) if settings.anatomy == "tissue" else None
    if prior := snakemake.input.prior:
        # The denoiser comes with the space and the scaling that it knows.
        start, _, scaling = load_bundle(Path(prior).parent)
        scaling = replace(scaling, patients=params.patients)
    else:
        grid = Grid.from_settings(params.grid)
        start, scaling = from_nothing(
            settings, latents, rendered, attributes, grid, len(params.modalities), params.patients
        )
    anatomy = None
    if rendered is not None:
        start.space.keep_contrasts(np.load(snakemake.input.contrasts))
        anatomy = StoredRows(snakemake.input.tissue), rendered
    process = Process(settings)
    training = DiffusionTraining(start.denoiser, process, start.space, settings, params.seed)
    conditions, ellipsoids = scaling.vectors(attributes), ellipsoid_of(attributes)
    batches = LatentBatches(latents, conditions, ellipsoids, anatomy, settings.batch, params.seed)
    with training_job(snakemake, training, batches) as history:
        bundle = Bundle(training.average.module, start.space).eval().cpu()
        config = {
            "settings": params.settings,
            "precision": arithmetic(settings.precision),
            "grid": params.grid,
            "latent_shape": list(latents.shape[1:]),
            "modalities": params.modalities,
            "scaling": scaling.to_dict(),
            # Of whose brains the anatomies of its synthetic patients are.
            "phantom": params.phantom,
            "preprocess": params.preprocess,
        }
        save_model(Path(snakemake.output.weights).parent, bundle, config)
        write_table(history, snakemake.output.history)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
