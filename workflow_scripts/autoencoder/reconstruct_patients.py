"""Rule ``reconstruct_patients``: what encoding and decoding does to patients never trained on."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.files import staged_directory, write_table
from workflow_scripts.common.labels import class_count, collapse
from workflow_scripts.common.patients import Patient, save_patient


def reconstruction_scores(
    image: NDArray, label: NDArray, made: NDArray, made_label: NDArray, classes: int
) -> dict[str, float]:
    """PSNR (dB) and SSIM of volumes (M, X, Y, Z) with a range of 1, and mean Dice of classes.

    Classes that a patient does not have are left out of the mean, unless they were made up.
    """
    dice = []
    for value in range(1, classes):
        truth, guess = label == value, made_label == value
        if truth.any() or guess.any():
            dice.append(2 * (truth & guess).sum() / (truth.sum() + guess.sum()))
    return {
        "psnr_db": float(peak_signal_noise_ratio(image, made, data_range=1.0)),
        "ssim": float(structural_similarity(image, made, data_range=1.0, channel_axis=0)),
        "label_dice": float(np.mean(dice)),
    }


def main(snakemake) -> None:
    torch.set_num_threads(snakemake.threads)
    codec = Codec.load(Path(snakemake.input.weights).parent)
    classes = class_count(codec.labels)
    rows = []
    with staged_directory(snakemake.output.patients) as folder:
        for path in snakemake.input.images:
            patient = Patient(Path(path).parent)
            image, label = patient.image(), patient.label()
            made, made_label, _ = codec.decode(codec.encode(image, label))
            target = collapse(label, codec.labels)
            scores = reconstruction_scores(image, target, made, made_label, classes)
            rows.append({"patient_id": patient.patient_id, **scores})
            save_patient(
                folder / patient.patient_id, made, made_label, patient.brain(), codec.grid.affine
            )
    write_table(pd.DataFrame(rows), snakemake.output.scores)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
