"""Rule ``synthesise_patients``: synthetic patients, image and label at once, from requests."""

import logging
from pathlib import Path

import pandas as pd
import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.attributes import CONDITIONS
from workflow_scripts.common.files import (
    UserError,
    read_table,
    staged_directory,
    write_json,
    write_table,
)
from workflow_scripts.common.patients import save_patient
from workflow_scripts.common.provenance import checksum
from workflow_scripts.diffusion.generator import Generator
from workflow_scripts.synthesis.requests import CENTROID, reason_to_refuse
from workflow_scripts.synthesis.sampling import Sample, mean_brain, synthesise
from workflow_scripts.synthesis.settings import SynthesisSettings

COMPARED = ("volume_ml", *CENTROID, "sphericity")


def compared(request: pd.Series, sample: Sample) -> dict[str, float | str]:
    """A row of ``attributes.tsv``: requested beside measured; volume 0 where no draw had one."""
    row = {"patient_id": request["patient_id"], "attempts": sample.attempts}
    for name in COMPARED:
        row[f"requested_{name}"] = float(request[name])
        row[f"measured_{name}"] = float(sample.measured[name])
    return row


def refuse_impossible(requests: pd.DataFrame, codec: Codec, generator: Generator) -> None:
    """Raise ``UserError`` naming each request that the brain has no room for, and why."""
    brain = mean_brain(codec, generator)
    reasons = [
        f"{request['patient_id']}: {reason}"
        for _, request in requests.iterrows()
        if (reason := reason_to_refuse(request, brain, codec.grid))
    ]
    if reasons:
        raise UserError("requests that cannot be met: " + "; ".join(reasons))


def main(snakemake) -> None:
    settings = SynthesisSettings.model_validate(snakemake.params.settings)
    torch.set_num_threads(snakemake.threads)
    weights = {"autoencoder": snakemake.input.autoencoder, "diffusion": snakemake.input.diffusion}
    codec = Codec.load(Path(weights["autoencoder"]).parent)
    generator = Generator.load(Path(weights["diffusion"]).parent)
    models = {name: checksum(path) for name, path in weights.items()}
    requests = read_table(snakemake.input.requests)
    refuse_impossible(requests, codec, generator)
    made = synthesise(
        requests,
        codec,
        generator,
        steps=settings.sampling_steps,
        guidance=settings.guidance,
        batch=settings.batch,
        attempts=settings.attempts,
    )
    rows = []
    with staged_directory(snakemake.output.patients) as folder:
        for request, sample in made:
            rows.append(compared(request, sample))
            if not sample.usable:
                logging.warning(
                    "%s: no tumour in %d draws, left out", request["patient_id"], sample.attempts
                )
                continue
            target = folder / str(request["patient_id"])
            volumes = (sample.image, sample.label, sample.brain)
            save_patient(target, *volumes, codec.grid.affine, codec.modalities)
            record = {
                "request": {name: float(request[name]) for name in CONDITIONS},
                "measured": sample.measured,
                "seed": int(request["seed"]),
                "attempts": sample.attempts,
                "sampling_steps": settings.sampling_steps,
                "guidance": settings.guidance,
                "models_sha256": models,
            }
            write_json(record, target / "request.json")
            logging.info("%d of %d patients made", len(rows), len(requests))
        if not any(folder.iterdir()):
            raise UserError(
                "no request gave a patient with a tumour; ask for larger tumours, or train the "
                "diffusion model for longer (diffusion.steps)"
            )
    write_table(pd.DataFrame(rows), snakemake.output.attributes)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
