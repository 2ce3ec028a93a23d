"""Rule ``train_autoencoder``: the slice autoencoder of one split's training patients."""

from pathlib import Path

import numpy as np
import torch

from workflow_scripts.autoencoder.codec import build_model, encode_slices
from workflow_scripts.autoencoder.settings import AutoencoderConfig, AutoencoderSettings
from workflow_scripts.autoencoder.slice_batches import SliceAugmentation, SliceBatches
from workflow_scripts.autoencoder.train import AutoencoderTraining
from workflow_scripts.common.device import device, resolve_precision
from workflow_scripts.common.files import write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.job import training_job
from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.subsets import evenly_chosen
from workflow_scripts.common.weights import load_config, load_weights, save_model

# The latents' scale is computed from at most this many patients, evenly spaced.
SCALE_PATIENTS = 256


def latent_scale(model: torch.nn.Module, folders: list[str], labels: str, precision: str) -> float:
    """The factor that scales the training patients' latents to unit variance (one for all
    channels).

    Rombach et al. 2022, appendix G. Only a few slices are held in memory.
    """
    total, square, count = 0.0, 0.0, 0
    for folder in (folders[i] for i in evenly_chosen(len(folders), SCALE_PATIENTS)):
        patient = Patient(folder)
        classes = collapse(np.asarray(patient.label_slices), labels)
        for mean in encode_slices(model, patient.slices, classes, precision):
            total += float(mean.sum(dtype=np.float64))
            square += float(np.square(mean, dtype=np.float64).sum())
            count += mean.size
    return float(1 / np.sqrt(square / count - (total / count) ** 2))


def main(snakemake) -> None:
    params = snakemake.params
    settings = AutoencoderSettings.model_validate(params.settings)
    folders = [str(Path(path).parent) for path in snakemake.input.images]
    torch.set_num_threads(snakemake.threads)
    torch.manual_seed(params.seed)
    network = build_model(settings, params.modalities, params.labels)
    prior = Path(snakemake.input.prior).parent if snakemake.input.prior else None
    if prior:
        load_weights(prior, network)
    training = AutoencoderTraining(network, settings, params.seed)
    x_mm, y_mm, _ = Grid.from_settings(params.grid).extent_mm
    augment = SliceAugmentation(settings.augment, (x_mm, y_mm)) if settings.augment else None
    share = settings.tumour_slices
    batches = SliceBatches(folders, params.labels, settings.batch, share, augment, params.seed)
    learns_from = f"{len(folders)} training patients"
    with training_job(snakemake, training, batches, learns_from) as history:
        model = training.average.module.eval().to(device())
        # The prior's denoiser was trained on latents with the prior's scale.
        scale = (
            load_config(prior, AutoencoderConfig)["latent_scale"]
            if prior
            else latent_scale(model, folders, params.labels, settings.precision)
        )
        config = {
            "settings": params.settings,
            "modalities": params.modalities,
            "labels": params.labels,
            "grid": params.grid,
            "precision": resolve_precision(settings.precision),
            "latent_scale": scale,
        }
        save_model(Path(snakemake.output.weights).parent, model, config)
        write_table(history, snakemake.output.history)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
