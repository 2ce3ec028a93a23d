"""Rule ``run_setup``: this workflow with a set-up, up to its synthetic patients."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from workflow_scripts.common.files import UserError, read_json, staged_directory, write_json


def main(snakemake) -> None:
    params, outputs = snakemake.params, snakemake.output
    folder, shared = (Path(path).resolve() for path in (params.folder, params.shared))
    for path in (folder, shared):
        path.mkdir(parents=True, exist_ok=True)
    write_json(params.configuration, folder / "config.json")
    split = params.split
    autoencoder, synthesis = f"results/autoencoder/{split}", f"results/synthesis/{split}"
    targets = [f"{autoencoder}/reconstruction.csv", f"{synthesis}/attributes.tsv"]
    command = [sys.executable, "-m", "snakemake", "--snakefile", params.snakefile]
    options = ["--cores", str(snakemake.threads), "--cache", "--configfile", "config.json"]
    with open(snakemake.log[0], "a") as log:
        ended = subprocess.run(
            [*command, *options, "--", *targets],
            cwd=folder,
            env=os.environ | {"SNAKEMAKE_OUTPUT_CACHE": str(shared)},
            stdout=log,
            stderr=log,
            check=False,
        )
    if ended.returncode:
        raise UserError(f"the run in {folder} failed; see {snakemake.log[0]}")
    shutil.copyfile(folder / targets[0], outputs.reconstruction)
    with staged_directory(outputs.patients) as patients:
        shutil.copytree(folder / synthesis / "patients", patients, dirs_exist_ok=True)
    jobs = {
        "autoencoder": f"{autoencoder}/provenance/train_autoencoder.json",
        "encoding": f"{autoencoder}/provenance/encode_patients.json",
        "diffusion": f"results/diffusion/{split}/provenance/train_diffusion.json",
        "sampling": f"{synthesis}/provenance/synthesise_patients.json",
    }
    times = {name: read_json(folder / path)["seconds"] for name, path in jobs.items()}
    write_json(times, outputs.times)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
