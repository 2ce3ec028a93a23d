"""Rule ``predict_segmentation``: the test patients' tumours, on the grid and in native space."""

from pathlib import Path

import numpy as np
import torch

from workflow_scripts.common.files import staged_directory
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.progress import Progress
from workflow_scripts.preprocess.native import to_native
from workflow_scripts.segmentation.segmenter import Segmenter


def predict_patient(segmenter: Segmenter, patient: Patient, folder: Path) -> None:
    """Write ``label.nii.gz`` (template space) and ``label_native.nii.gz`` into ``folder``."""
    classes = segmenter.predict(patient)
    affine = segmenter.grid.affine
    save_nifti(classes, affine, folder / "label.nii.gz", np.uint8)
    native, native_affine = to_native(
        classes, affine, patient.folder / "native.json", patient.folder / "to_template.tfm"
    )
    save_nifti(native, native_affine, folder / "label_native.nii.gz", np.uint8)


def main(snakemake) -> None:
    torch.set_num_threads(snakemake.threads)
    segmenter = Segmenter.load(Path(snakemake.input.weights).parent)
    with staged_directory(snakemake.output.predictions) as folder:
        progress = Progress(len(snakemake.input.images), "patients segmented")
        for number, path in enumerate(snakemake.input.images, 1):
            patient = Patient(Path(path).parent)
            predict_patient(segmenter, patient, folder / patient.patient_id)
            progress.done(number)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
