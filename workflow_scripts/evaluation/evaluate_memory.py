"""Rule ``evaluate_memory``: distances of synthetic patients to the denoiser's training data, beside
those of held-out patients and planted copies."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.nifti import load_volume
from workflow_scripts.common.patients import patient_folders
from workflow_scripts.common.stored import StoredRows
from workflow_scripts.common.subsets import evenly_chosen
from workflow_scripts.evaluation.memory import (
    COLUMNS,
    GROUPS,
    PLANTED,
    Encoded,
    Trained,
    encode_folder,
    encode_item,
    fit_space,
    flagged,
    nearest_items,
)
from workflow_scripts.synthesis.request_table import is_training


def load_trained(latents: str, tumours: str, attributes: str, brain: str) -> Trained:
    """A denoiser's training data, from the outputs of ``encode_patients``."""
    items = read_table(attributes)[["patient_id", "copy"]]
    return Trained(StoredRows(latents), StoredRows(tumours), items, load_volume(brain)[0] > 0)


def grouped(groups: dict[str, Sequence[Callable[[], Encoded]]], trained: Trained) -> pd.DataFrame:
    """Rows of ``nearest_items`` for the patients of each group, with flags."""
    space = fit_space(trained)
    parts = [
        nearest_items(patients, trained, space).assign(group=name)
        for name, patients in groups.items()
        if patients
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    return flagged(table)


def unknown(folders: Sequence[Path]) -> pd.DataFrame:
    """Rows without distances, for patients of a model without training latents."""
    table = pd.DataFrame({"patient_id": [folder.name for folder in folders]})
    return table.reindex(columns=COLUMNS).assign(group="synthetic")


def patients_of_run(
    synthetic: str, held_out: str, trained: Trained, codec: Codec
) -> dict[str, list[Callable[[], Encoded]]]:
    """The groups to compare: synthetic patients, reconstructed held-out patients, and decoded
    training latents."""
    generated, unseen = (
        [partial(encode_folder, folder, codec) for folder in patient_folders(directory)]
        for directory in (synthetic, held_out)
    )
    chosen = evenly_chosen(len(trained.latents), PLANTED)
    planted = [partial(encode_item, trained, index, codec) for index in chosen]
    return dict(zip(GROUPS, (generated, unseen, planted), strict=True))


def main(snakemake) -> None:
    inputs = snakemake.input
    torch.set_num_threads(snakemake.threads)
    if inputs.latents:
        trained = load_trained(inputs.latents, inputs.tumours, inputs.attributes, inputs.brain)
        codec = Codec.load(Path(inputs.autoencoder).parent)
        groups = patients_of_run(inputs.synthetic, inputs.held_out, trained, codec)
        table = grouped(groups, trained)
    else:
        table = unknown(patient_folders(inputs.synthetic))
    anatomies = read_table(inputs.made).set_index("patient_id")["anatomy"]
    training = anatomies.map(is_training)
    table["derived"] = table["patient_id"].map(training).fillna(False).astype(bool)
    table.insert(0, "split", snakemake.wildcards.split)
    write_table(table, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
