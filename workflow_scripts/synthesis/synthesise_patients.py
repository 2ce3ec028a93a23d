"""Rule ``synthesise_patients``: synthetic patients, image and label together, from requests."""

import shutil
from dataclasses import replace

import torch

from workflow_scripts.common.device import device, resolve_precision
from workflow_scripts.common.files import UserError, read_table, staged_directory, write_table
from workflow_scripts.common.job_folder import kept_folder
from workflow_scripts.common.job_words import log_start
from workflow_scripts.synthesis.folder import COPIES
from workflow_scripts.synthesis.model import PARTS, SynthesisModel
from workflow_scripts.synthesis.patient_batches import make_patients, refuse_impossible
from workflow_scripts.synthesis.settings import ImplantSettings, SamplingSettings
from workflow_scripts.synthesis.training_copies import TrainingCopies


def check_model(model: SynthesisModel, modalities: list[str], labels: str) -> None:
    """Raise ``UserError`` if a model has other modalities or labels than this run."""
    if (model.codec.modalities, model.codec.labels) != (modalities, labels):
        raise UserError(
            f"synthesis.model: it has {', '.join(model.codec.modalities)} with labels "
            f"{model.codec.labels}, this run has {', '.join(modalities)} with labels {labels}; "
            "set modalities and labels to the model's"
        )


def main(snakemake) -> None:
    settings = SamplingSettings.model_validate(snakemake.params.sampling)
    torch.set_num_threads(snakemake.threads)
    inputs = snakemake.input
    copies, implant = None, None
    if inputs.tissue:
        copies = TrainingCopies.load(*(inputs[name] for name in COPIES))
    if snakemake.params.implant:
        implant = ImplantSettings.model_validate(snakemake.params.implant)
    parts = [inputs[part] for part in PARTS]
    model = SynthesisModel.of(*parts, snakemake.threads, copies, implant)
    model = replace(model, contrast_jitter=snakemake.params.contrast_jitter)
    check_model(model, snakemake.params.modalities, snakemake.params.labels)
    requests = read_table(snakemake.input.requests)
    refuse_impossible(requests, model)
    log_start(settings.precision, f"{len(requests)} requests")
    used = (model.codec.precision, settings.precision)
    computed = {"precision": " ".join(resolve_precision(precision) for precision in used)}
    with kept_folder(snakemake, **computed, device=device().type) as kept:
        table = make_patients(requests, model, settings, kept)
        with staged_directory(snakemake.output.patients) as folder:
            shutil.copytree(kept / "patients", folder, dirs_exist_ok=True)
        write_table(table, snakemake.output.attributes)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
