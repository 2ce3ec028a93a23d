"""Rule ``predict_segmentation``: the test patients' tumours, on the grid and in native space."""

from pathlib import Path

import torch

from workflow_scripts.common.files import staged_directory
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.progress import Progress
from workflow_scripts.segmentation.predictions import save_prediction
from workflow_scripts.segmentation.segmenter import Segmenter


def main(snakemake) -> None:
    torch.set_num_threads(snakemake.threads)
    segmenter = Segmenter.load(Path(snakemake.input.weights).parent)
    with staged_directory(snakemake.output.predictions) as folder:
        progress = Progress(len(snakemake.input.images), "patients segmented")
        for number, path in enumerate(snakemake.input.images, 1):
            patient = Patient(Path(path).parent)
            prediction = segmenter.predict(patient)
            save_prediction(prediction, segmenter.grid.affine, patient, folder / patient.patient_id)
            progress.done(number)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
