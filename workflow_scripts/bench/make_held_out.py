"""Rule ``make_held_out``: phantoms that no prior was trained on, as requests, and their image
measures after the model's autoencoder."""

import tempfile
from pathlib import Path

import pandas as pd
import torch

from workflow_scripts.bench.sampler import image_measures
from workflow_scripts.bench.sampler_candidates import PARTS, held_out
from workflow_scripts.common.attributes import CONDITIONS, tumour_attributes
from workflow_scripts.common.files import read_json, write_table
from workflow_scripts.common.job_folder import kept_folder
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.preprocess.make_phantoms import write_phantoms
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.synthesis.model import PARTS as MODEL
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.requests import SEEDS_A_RUN, complete


def as_requests(
    patients: list[Patient], first: int, model: SynthesisModel, seed: int
) -> pd.DataFrame:
    """A completed request for the tumour of each phantom, numbered from ``first``. The seeds of the
    noise are the phantoms' numbers, so the phantoms for choosing and for reporting share none."""
    rows = []
    for number, patient in enumerate(patients, start=first):
        attributes = tumour_attributes(patient.label(), model.codec.grid.affine)
        known = {name: attributes[name] for name in CONDITIONS}
        known |= {"patient_id": patient.patient_id, "seed": SEEDS_A_RUN * seed + number}
        rows.append(known)
    return complete(pd.DataFrame(rows), model.generator.scaling, seed)


def reconstructed(patients: list[Patient], model: SynthesisModel) -> pd.DataFrame:
    """The image measures of patients after the model's autoencoder."""
    codec, rows = model.codec, []
    with tempfile.TemporaryDirectory() as folder:
        for patient in patients:
            patient_folder = Path(folder) / patient.patient_id
            latent = codec.encode(patient.image(), patient.label())
            save_patient(patient_folder, *codec.decode(latent), codec.grid.affine)
            measured = image_measures(Patient(patient_folder), codec.grid)
            rows.append({"patient_id": patient.patient_id, **measured})
    return pd.DataFrame(rows)


def main(snakemake) -> None:
    inputs, params, part = snakemake.input, snakemake.params, snakemake.wildcards.part
    torch.set_num_threads(snakemake.threads)
    model = SynthesisModel.of(*(inputs[name] for name in MODEL))
    names = held_out(part, params.phantoms)
    with kept_folder(snakemake) as kept:
        write_phantoms(
            names,
            snakemake.threads,
            folder=kept,
            seed=params.seed,
            modalities=model.codec.modalities,
            grid=model.codec.grid,
            phantom=PhantomSettings.model_validate(read_json(inputs.phantom)),
            preprocess=PreprocessSettings.model_validate(params.preprocess),
        )
        patients = [Patient(kept / name) for name in names]
        write_table(
            as_requests(patients, PARTS[part], model, params.seed), snakemake.output.requests
        )
        write_table(reconstructed(patients, model), snakemake.output.reference)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
