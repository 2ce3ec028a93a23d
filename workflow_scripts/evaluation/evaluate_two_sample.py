"""Rule ``evaluate_two_sample``: can a small network tell a split's synthetic patients from real
ones?"""

from pathlib import Path

import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.evaluation.patient_groups import patient_groups, write_rows
from workflow_scripts.evaluation.quality import two_sample_rows


def main(snakemake) -> None:
    params, inputs = snakemake.params, snakemake.input
    torch.set_num_threads(snakemake.threads)
    codec = Codec.load(Path(inputs.autoencoder).parent)
    length = params.classifier_steps, params.classifier_repeats
    with patient_groups(inputs, codec) as groups:
        rows = list(
            two_sample_rows(groups, params.modalities, *length, params.seed, params.confidence)
        )
    write_rows(rows, snakemake.wildcards.split, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
