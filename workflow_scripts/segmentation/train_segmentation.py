"""Rule ``train_segmentation``: the segmentation network of one split and one arm."""

import functools
import logging
from pathlib import Path

import torch

from workflow_scripts.common.device import resolve_precision
from workflow_scripts.common.files import write_table
from workflow_scripts.common.job import training_job
from workflow_scripts.common.patients import Patient, patient_folders
from workflow_scripts.common.weights import save_model
from workflow_scripts.segmentation.batches import SegmentationBatches
from workflow_scripts.segmentation.segmenter import network_of
from workflow_scripts.segmentation.settings import GENERATED, SegmentationSettings, words_of
from workflow_scripts.segmentation.train import (
    SegmentationTraining,
    initial_network,
    validation_dice,
)


def main(snakemake) -> None:
    params = snakemake.params
    settings = SegmentationSettings.model_validate(params.settings)
    torch.set_num_threads(snakemake.threads)
    real = [Path(path).parent for path in snakemake.input.images]
    synthetic = [f for d in snakemake.input.synthetic for f in patient_folders(d)]
    if words_of(params.arm) & set(GENERATED) and not synthetic:
        logging.warning(
            "%s: there is no synthetic patient; training on real patients only", params.arm
        )
    held_out = [Patient(Path(path).parent) for path in snakemake.input.validation]
    build = functools.partial(network_of, settings, params.modalities, params.labels)
    training = SegmentationTraining(
        initial_network(build, params.seed),
        settings,
        lambda network: validation_dice(network, held_out, params.labels, settings),
    )
    spacing = params.grid["spacing_mm"]
    arguments = real, synthetic, params.labels, settings, spacing, params.seed
    batches = SegmentationBatches(params.arm, *arguments)
    learns_from = f"{len(real)} training and {len(synthetic)} generated patients"
    with training_job(snakemake, training, batches, learns_from) as losses:
        config = {
            "settings": params.settings,
            "arm": params.arm,
            "modalities": params.modalities,
            "labels": params.labels,
            "grid": params.grid,
            "precision": resolve_precision(settings.precision),
            "validation_dice": training.kept_score(),
        }
        logging.info("validation Dice %.3f", config["validation_dice"])
        save_model(Path(snakemake.output.weights).parent, training.kept_network(), config)
        write_table(training.history(losses), snakemake.output.history)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
