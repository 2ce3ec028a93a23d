"""Rule ``judge_run``: distances between a run's synthetic patients and real ones, and its
autoencoder's reconstruction of held-out patients."""

from functools import partial
from pathlib import Path

import pandas as pd
import torch

from workflow_scripts.common.files import read_json, read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import patient_folders
from workflow_scripts.evaluation.features import autoencoder_features, load_judge
from workflow_scripts.evaluation.quality import feature_rows

# Scores of the run's autoencoder, means over patients.
RECONSTRUCTION = ("psnr_db", "label_dice")
# Columns of intervals, which the table omits.
CONFIDENCE = 0.95


def main(snakemake) -> None:
    params, inputs = snakemake.params, snakemake.input
    torch.set_num_threads(snakemake.threads)
    test, train = ([Path(path).parent for path in inputs[side]] for side in ("test", "train"))
    groups = {
        "train": train,
        "held_out": test,
        "reconstructed": [],
        "synthetic": patient_folders(inputs.patients),
    }
    # One network for all systems, which was not trained on any of these patients.
    judge = load_judge(
        params.modalities,
        params.labels,
        Grid.from_settings(params.grid),
        params.seed,
    )
    extract = partial(autoencoder_features, codec=judge)
    scores = read_table(inputs.reconstruction)
    rows = [(name, scores[name].mean(), float("nan")) for name in RECONSTRUCTION]
    # Samples without a tumour are no patients. A system with no other samples has no distance.
    rows += [("patients", len(groups["synthetic"]), len(test))]
    rows += [
        (row.measure, row.value, row.floor)
        for row in feature_rows(groups, extract, params.seed, CONFIDENCE)
    ]
    table = pd.DataFrame(rows, columns=["measure", "value", "floor"])
    first = {"system": params.system, "steps": params.steps, **read_json(inputs.times)}
    for position, (name, value) in enumerate(first.items()):
        table.insert(position, name, value)
    write_table(table, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
