"""Rule ``synthesise_patients``: synthetic patients, image and label at once, from requests."""

import shutil

import torch

from workflow_scripts.common.files import read_table, staged_directory, write_table
from workflow_scripts.common.keep import kept_folder
from workflow_scripts.synthesis.model import PARTS, SynthesisModel
from workflow_scripts.synthesis.patients import make_patients
from workflow_scripts.synthesis.settings import SamplingSettings


def main(snakemake) -> None:
    settings = SamplingSettings.model_validate(snakemake.params.sampling)
    torch.set_num_threads(snakemake.threads)
    model = SynthesisModel.of(*(snakemake.input[part] for part in PARTS))
    requests = read_table(snakemake.input.requests)
    with kept_folder(snakemake) as kept:
        table = make_patients(requests, model, settings, kept)
        with staged_directory(snakemake.output.patients) as folder:
            shutil.copytree(kept / "patients", folder, dirs_exist_ok=True)
        write_table(table, snakemake.output.attributes)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
