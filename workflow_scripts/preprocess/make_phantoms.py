"""Rule ``make_phantoms``: a whole cohort of phantoms, generated directly on the grid."""

import contextlib
import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch

from workflow_scripts.common.files import staged, staged_directory
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.job_folder import kept_folder
from workflow_scripts.common.patients import ARRAYS, save_patient, save_tissue
from workflow_scripts.common.processes import end_with_parent
from workflow_scripts.common.progress import Progress
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.preprocess.grid_phantoms import phantom_on_grid
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.tissue import tissue_maps


def write_phantom(
    patient_id: str,
    folder: Path,
    seed: int,
    modalities: list[str],
    grid: Grid,
    phantom: PhantomSettings,
    preprocess: PreprocessSettings,
) -> None:
    """Write the arrays of a phantom to ``folder/<patient_id>``, unless they exist."""
    if all((folder / patient_id / f"{name}.npy").is_file() for name in (*ARRAYS, "tissue")):
        return
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image, label, brain = phantom_on_grid(patient_id, seed, modalities, grid, phantom, preprocess)
    with staged_directory(folder / patient_id) as temporary:
        save_patient(temporary, image, label, brain, grid.affine)
        save_tissue(temporary, tissue_maps(image, brain, label, grid))


def write_phantoms(names: list[str], processes: int, **arguments) -> None:
    """Write phantoms, several in parallel; ``arguments`` are passed to ``write_phantom``."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=end_with_parent) as pool:
        done = pool.map(partial(write_phantom, **arguments), names, chunksize=8)
        progress = Progress(len(names), "phantoms made")
        for number, _ in enumerate(done, start=1):
            progress.done(number)


@contextlib.contextmanager
def made_phantoms(snakemake: Any, names: list[str], phantom: dict) -> Iterator[Path]:
    """Generate the phantoms of a rule in a folder that survives a failed job, and yield it to the
    block that moves them; ``phantom`` has their settings."""
    params = snakemake.params
    with kept_folder(snakemake) as kept:
        write_phantoms(
            names,
            snakemake.threads,
            folder=kept,
            seed=params.seed,
            modalities=params.modalities,
            grid=Grid.from_settings(params.grid),
            phantom=PhantomSettings.model_validate(phantom),
            preprocess=PreprocessSettings.model_validate(params.preprocess),
        )
        yield kept


def main(snakemake) -> None:
    params = snakemake.params
    with made_phantoms(snakemake, params.patients, params.phantom) as kept:
        for path in map(Path, snakemake.output.arrays):
            with staged(path) as temporary:
                shutil.copyfile(kept / path.parent.name / path.name, temporary)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
