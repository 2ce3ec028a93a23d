"""Rule ``reconstruct_patients``: held-out patients after encoding and decoding."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.files import staged_directory, write_table
from workflow_scripts.common.labels import class_count, collapse
from workflow_scripts.common.masks import dice
from workflow_scripts.common.patients import Patient, save_patient


def reconstruction_scores(
    image: NDArray,
    label: NDArray,
    reconstruction: NDArray,
    made_label: NDArray,
    brain: NDArray[np.bool_],
    classes: int,
) -> dict[str, float]:
    """PSNR (dB) and SSIM of volumes (M, X, Y, Z) with a range of 1 inside the brain (X, Y, Z), and
    mean Dice of classes.

    The background, which is exactly 0 in both, would add some 5 dB. Classes that are in neither
    label are left out of the mean.
    """
    mask_pairs = [(made_label == value, label == value) for value in range(1, classes)]
    overlaps = [dice(*pair) for pair in mask_pairs if any(mask.any() for mask in pair)]
    _, ssim = structural_similarity(
        image, reconstruction, data_range=1.0, channel_axis=0, full=True
    )
    return {
        "psnr_db": float(
            peak_signal_noise_ratio(image[:, brain], reconstruction[:, brain], data_range=1.0)
        ),
        "ssim": float(ssim[:, brain].mean()),
        "label_dice": float(np.mean(overlaps)),
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
            reconstruction, made_label, brain = codec.decode(codec.encode(image, label))
            target = collapse(label, codec.labels)
            pair = (image, target, reconstruction, made_label)
            scores = reconstruction_scores(*pair, patient.brain(), classes)
            rows.append({"patient_id": patient.patient_id, **scores})
            # With a brain mask defined as for synthetic patients, so that both are comparable.
            volumes = (reconstruction, made_label, brain)
            save_patient(folder / patient.patient_id, *volumes, codec.grid.affine)
    write_table(pd.DataFrame(rows), snakemake.output.scores)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
