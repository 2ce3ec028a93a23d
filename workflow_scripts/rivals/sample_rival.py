"""Rule ``sample_rival``: synthetic patients of another generator."""

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.common.files import staged_directory
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import save_patient
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.randomness import generator
from workflow_scripts.rivals.catalogue import load_rival
from workflow_scripts.rivals.rival import Rival
from workflow_scripts.rivals.rival_volumes import from_volume


def draw_patient(
    model: Rival, labels: str, seed: int, number: int, attempts: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]] | None:
    """Image (M, X, Y, Z), canonical labels (X, Y, Z) and foreground (X, Y, Z) of the first of
    ``attempts`` draws with a tumour; ``None`` if none has one."""
    for attempt in range(attempts):
        volumes = from_volume(model.sample(generator(seed, number, attempt)), labels)
        if volumes[1].any():
            return volumes
    return None


def main(snakemake) -> None:
    params = snakemake.params
    torch.set_num_threads(snakemake.threads)
    model = load_rival(Path(snakemake.input.weights).parent)
    affine, progress = Grid.from_settings(params.grid).affine, Progress(params.patients, "patients")
    with staged_directory(snakemake.output.patients) as folder:
        for number in range(1, params.patients + 1):
            name = f"{params.rival}-{number:04d}"
            volumes = draw_patient(model, params.labels, params.seed, number, params.attempts)
            if volumes is None:
                logging.warning("%s: no tumour in %d draws, omitted", name, params.attempts)
            else:
                save_patient(folder / name, *volumes, affine, params.modalities)
            progress.done(number)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
