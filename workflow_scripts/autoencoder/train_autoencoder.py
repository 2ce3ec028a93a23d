"""Rule ``train_autoencoder``: the slice autoencoder of one split's training patients."""

from pathlib import Path

import numpy as np
import torch

from workflow_scripts.autoencoder.codec import build_model
from workflow_scripts.autoencoder.model import slice_positions
from workflow_scripts.autoencoder.settings import AutoencoderSettings
from workflow_scripts.autoencoder.slices import SliceBatches
from workflow_scripts.autoencoder.train import AutoencoderTraining
from workflow_scripts.common.files import write_table
from workflow_scripts.common.job import training_job
from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.weights import save_model


def latent_scale(model: torch.nn.Module, folders: list[str], labels: str) -> float:
    """The factor that gives the training patients' latents unit variance (one for all channels).

    Rombach et al. 2022, appendix G. One patient is held in memory at a time.
    """
    total, square, count = 0.0, 0.0, 0
    for folder in folders:
        patient = Patient(folder)
        image = torch.from_numpy(np.asarray(patient.slices, dtype=np.float32))
        label = torch.from_numpy(collapse(np.asarray(patient.label_slices), labels))
        with torch.inference_mode():
            mean, _ = model.encode(image, label, slice_positions(len(image)))
        total += float(mean.double().sum())
        square += float(mean.double().square().sum())
        count += mean.numel()
    return float(1 / np.sqrt(square / count - (total / count) ** 2))


def main(snakemake) -> None:
    params = snakemake.params
    settings = AutoencoderSettings.model_validate(params.settings)
    folders = [str(Path(path).parent) for path in snakemake.input.images]
    torch.set_num_threads(snakemake.threads)
    torch.manual_seed(params.seed)
    training = AutoencoderTraining(
        build_model(settings, params.modalities, params.labels),
        steps=settings.steps,
        lr=settings.lr,
        ema_decay=settings.ema_decay,
        kl_weight=settings.kl_weight,
        label_weight=settings.label_weight,
        seed=params.seed,
    )
    batches = SliceBatches(folders, params.labels, settings.batch, settings.augment, params.seed)
    with training_job(snakemake, training, batches, settings.precision) as history:
        model = training.average.module.eval().cpu()
        config = {
            "settings": params.settings,
            "modalities": params.modalities,
            "labels": params.labels,
            "grid": params.grid,
            "latent_scale": latent_scale(model, folders, params.labels),
        }
        save_model(Path(snakemake.output.weights).parent, model, config)
        write_table(history, snakemake.output.history)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
