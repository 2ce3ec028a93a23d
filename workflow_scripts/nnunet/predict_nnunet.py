"""Rule ``predict_nnunet``: nnU-Net's predictions for the test patients."""

import tempfile
from pathlib import Path

from workflow_scripts.common.files import staged_directory
from workflow_scripts.common.nifti import load_volume
from workflow_scripts.common.patients import Patient
from workflow_scripts.export.nnunet import REAL, dataset_name
from workflow_scripts.nnunet.commands import NNUNet
from workflow_scripts.segmentation.predictions import save_prediction


def main(snakemake) -> None:
    inputs = snakemake.input
    raw = Path(inputs.datasets) / "nnUNet_raw"
    images = raw / dataset_name(REAL) / "imagesTs"
    with (
        tempfile.TemporaryDirectory() as work,
        staged_directory(snakemake.output.predictions) as folder,
    ):
        output = Path(work) / "predicted"
        log = Path(snakemake.log[0])
        nnunet = NNUNet(snakemake.params.commands, raw, Path(work), snakemake.threads, log)
        nnunet.run(
            "nnUNetv2_predict_from_modelfolder",
            *("-i", images, "-o", output, "-m", inputs.model, "-f", 0, "-device", nnunet.device),
        )
        for patient in (Patient(Path(path).parent) for path in inputs.images):
            classes, affine = load_volume(output / f"{patient.patient_id}.nii.gz")
            save_prediction(classes, affine, patient, folder / patient.patient_id)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
