"""Rule ``export_prior``: a model folder small enough for a repository, with its provenance."""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from workflow_scripts.common.files import read_json, read_table, staged, write_json, write_table
from workflow_scripts.synthesis.folder import CHECKSUMS, FILES, STAGES, write_checksums

# Parameters of a training that are paths, and do not affect its result.
FOLDERS = ("checkpoints", "tensorboard")
WHOLE = {"space.sd"}


def halve(weights: str | Path, target: str | Path) -> None:
    """Write a network's weights in half precision, except for the scale of the latents."""
    state = load_file(weights)
    halved = {
        name: tensor if name in WHOLE else tensor.to(torch.float16)
        for name, tensor in state.items()
    }
    with staged(target) as temporary:
        save_file(halved, temporary)


def summarise(provenance: str | Path) -> dict:
    """A training's provenance, with one digest for the checksums of all inputs, and without the
    folders used during the training."""
    record = read_json(provenance)
    inputs = record.pop("inputs")
    for name in FOLDERS:
        record["params"].pop(name)
    digest = hashlib.sha256(json.dumps(sorted(inputs.values())).encode()).hexdigest()
    return {**record, "inputs": {"files": len(inputs), "sha256_of_checksums": digest}}


def main(snakemake) -> None:
    inputs, folder = snakemake.input, Path(snakemake.output.training).parent
    source = Path(inputs.sampling).parent
    for name in FILES:
        if name.endswith("weights.safetensors"):
            halve(source / name, folder / name)
        elif name not in ("attributes.tsv", CHECKSUMS):
            with staged(folder / name) as temporary:
                shutil.copyfile(source / name, temporary)
    attributes = read_table(source / "attributes.tsv")
    # One tumour per phantom is enough to describe volumes and centroids.
    write_table(attributes[attributes["copy"] == 0], folder / "attributes.tsv")
    write_checksums(folder)
    records = {stage: summarise(inputs[stage]) for stage in STAGES}
    write_json(records, folder / "training.json")
    # The settings of its phantoms, so that more of them can be generated.
    write_json(snakemake.params.phantom, folder / "phantom.json")


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
