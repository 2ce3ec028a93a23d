"""Rule ``sample_setting``: one draw for each held-out phantom's tumour, with one setting of the
sampler."""

import torch

from workflow_scripts.bench.sampler import sampled
from workflow_scripts.common.files import read_json, read_table, write_table
from workflow_scripts.synthesis.model import PARTS, SynthesisModel


def main(snakemake) -> None:
    inputs = snakemake.input
    torch.set_num_threads(snakemake.threads)
    model = SynthesisModel.of(*(inputs[part] for part in PARTS))
    sampling = {**read_json(inputs.sampling), **snakemake.params.setting}
    write_table(sampled(read_table(inputs.requests), model, sampling), snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
