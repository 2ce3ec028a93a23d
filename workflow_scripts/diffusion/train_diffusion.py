"""Rule ``train_diffusion``: weights of the conditional denoiser from one split's latents."""

from pathlib import Path

import numpy as np
import torch

from workflow_scripts.common.device import arithmetic
from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.job import training_job
from workflow_scripts.common.weights import save_model
from workflow_scripts.diffusion.conditions import Scaling, latent_points, place_of
from workflow_scripts.diffusion.generator import Bundle, build_model, build_process
from workflow_scripts.diffusion.latents import LatentSpace, fit_latent_space
from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.diffusion.train import DiffusionTraining, LatentBatches


def main(snakemake) -> None:
    params = snakemake.params
    settings = DiffusionSettings.model_validate(params.settings)
    torch.set_num_threads(snakemake.threads)
    torch.manual_seed(params.seed)
    latents = np.load(snakemake.input.latents, mmap_mode="r")
    attributes = read_table(snakemake.input.attributes)
    scaling = Scaling.fit(attributes)
    grid = Grid.from_settings(params.grid)
    points = latent_points(grid, grid.shape[0] // latents.shape[2])
    place = place_of(attributes)
    fold, modes = settings.slices_per_patch, settings.modes
    if settings.space == "white":
        space = fit_latent_space(latents, points, place, fold, modes)
    else:
        space = LatentSpace(latents.shape[1:], fold, modes)
        space.points.copy_(points)
    training = DiffusionTraining(
        build_model(settings, latents.shape[1]),
        build_process(settings),
        space,
        settings,
        params.seed,
    )
    conditions = scaling.vectors(attributes)
    batches = LatentBatches(latents, conditions, place, settings.batch, params.seed)
    with training_job(snakemake, training, batches) as history:
        bundle = Bundle(training.average.module, space).eval().cpu()
        config = {
            "settings": params.settings,
            "precision": arithmetic(settings.precision),
            "grid": params.grid,
            "latent_shape": list(latents.shape[1:]),
            "scaling": scaling.to_dict(),
        }
        save_model(Path(snakemake.output.weights).parent, bundle, config)
        write_table(history, snakemake.output.history)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
