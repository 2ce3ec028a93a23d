"""Rule ``train_rival``: another generator, trained on one split's training patients."""

from pathlib import Path

import pandas as pd
import torch

from workflow_scripts.autoencoder.settings import WarpSettings
from workflow_scripts.common.device import resolve_precision
from workflow_scripts.common.files import UserError, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.job import training_job
from workflow_scripts.common.weights import save_model
from workflow_scripts.rivals.catalogue import build_rival
from workflow_scripts.rivals.rival_volumes import VolumeBatches, read_volume


def with_validation(losses: pd.DataFrame, validation: dict[int, float]) -> pd.DataFrame:
    """Losses by step, with the validation loss in the rows of checks."""
    if not validation:
        return losses
    checks = pd.DataFrame({"step": list(validation), "validation_loss": validation.values()})
    return losses.merge(checks, on="step", how="outer").sort_values("step")


def main(snakemake) -> None:
    params = snakemake.params
    if torch.cuda.is_available() and snakemake.resources.get("gpu", 1) > 1:
        # Each phase leaves some weights unused, which DDP does not allow.
        raise UserError("train_rival: it supports one GPU only; set its resource gpu to 1")
    torch.set_num_threads(snakemake.threads)
    torch.manual_seed(params.seed)
    shape = params.grid["shape"]
    model = build_rival(params.rival, params.settings, params.modalities, params.labels, shape)
    folders, validation = (
        [Path(path).parent for path in snakemake.input[name]] for name in ("images", "validation")
    )
    validation_volumes = [read_volume(folder, params.labels) for folder in validation]
    training = model.make_training(validation_volumes, params.seed)
    grid, warp = Grid.from_settings(params.grid), WarpSettings.model_validate(params.warp)
    batch = model.settings.batch
    batches = VolumeBatches(folders, params.labels, batch, grid, warp, params.seed)
    learns_from = f"{len(folders)} training patients"
    with training_job(snakemake, training, batches, learns_from) as losses:
        config = {
            "rival": params.rival,
            "settings": params.settings,
            "modalities": params.modalities,
            "labels": params.labels,
            "grid": params.grid,
            "precision": resolve_precision(model.settings.precision),
        }
        save_model(Path(snakemake.output.weights).parent, training.trained(), config)
        write_table(with_validation(losses, training.validation()), snakemake.output.history)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
