"""The anatomy that each synthetic patient is given: tissue maps without a tumour."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from workflow_scripts.cohort.anatomy import Mass
from workflow_scripts.cohort.settings import PhantomSettings
from workflow_scripts.common.files import UserError
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.processes import end_with_parent
from workflow_scripts.preprocess.phantoms import phantom_on_grid
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.tissue import tissue_maps
from workflow_scripts.synthesis.anatomy_folder import Brain, read_brain
from workflow_scripts.synthesis.request_table import CENTROID, PHANTOM, is_training
from workflow_scripts.synthesis.training_copies import TrainingCopies

# A process takes seconds to start, an anatomy about one.
REQUESTS_A_PROCESS = 4

# Tissue maps (N, 3, X, Y, Z), 0 to 255, of completed requests.
Anatomies = Callable[[pd.DataFrame], NDArray[np.uint8]]


def no_anatomies(requests: pd.DataFrame) -> NDArray[np.uint8]:
    """For a denoiser that is told no anatomy: (N, 0)."""
    return np.zeros((len(requests), 0), np.uint8)


@dataclass(frozen=True)
class RequestedAnatomies:
    """The anatomies that requests name: each a phantom of its own, or somebody's brain.

    A phantom is nobody's brain: drawn from the request's seed, and pushed aside by its tumour. Its
    images pass through the same tissue classification as a patient's. Any other ``anatomy`` of a
    request is one of the training patients and their ``copies``, or a folder
    (``read_brain``).
    """

    modalities: list[str]
    grid: Grid
    phantom: PhantomSettings
    preprocess: PreprocessSettings
    processes: int = 1
    copies: TrainingCopies | None = None

    def __call__(self, requests: pd.DataFrame) -> NDArray[np.uint8]:
        """Tissue maps (N, 3, X, Y, Z), 0 to 255."""
        rows = [row for _, row in requests.iterrows()]
        phantoms = [row for row in rows if row["anatomy"] == PHANTOM]
        made = iter(self._phantoms(phantoms))
        names = {row["anatomy"] for row in rows} - {PHANTOM}
        read = {name: self._read(name) for name in sorted(names)}
        return np.stack(
            [next(made) if row["anatomy"] == PHANTOM else read[row["anatomy"]] for row in rows]
        )

    def _read(self, name: str) -> NDArray[np.uint8]:
        if not is_training(name):
            return steps_of(self.brain(name).tissue)
        if self.copies is None:
            raise UserError(
                f"requests: anatomy '{name}' is a training patient's, which a model folder does "
                f"not carry; name a folder of images, or {PHANTOM}"
            )
        return self.copies.tissue[self.copies.row(name)]

    def brain(self, folder: str) -> Brain:
        """The brain in a folder, as requests may name it."""
        return read_brain(folder, self.modalities, self.grid, self.preprocess)

    def _phantoms(self, rows: list[pd.Series]) -> list[NDArray[np.uint8]]:
        make = partial(tissue_of_phantom, self)
        processes = min(self.processes, len(rows) // REQUESTS_A_PROCESS)
        if processes < 2:
            return [make(row) for row in rows]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, initializer=_single_thread) as pool:
            return list(pool.map(make, rows))


def _single_thread() -> None:
    """Set up a process of several: it ends with the one that started it."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    end_with_parent()


def steps_of(tissue: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Tissue maps, 0 to 1, in steps of 1 / 255, as patients' are stored."""
    return (tissue * 255).round().astype(np.uint8)


def tissue_of_phantom(source: RequestedAnatomies, request: pd.Series) -> NDArray[np.uint8]:
    """Tissue maps (3, X, Y, Z), 0 to 255, of the phantom of a request."""
    seed = int(request["seed"])
    centre = tuple(float(request[name]) for name in CENTROID)
    image, label, brain = phantom_on_grid(
        f"anatomy-{seed}",
        seed,
        source.modalities,
        source.grid,
        source.phantom,
        source.preprocess,
        mass=Mass(centre, float(request["volume_ml"])),
        tumour=False,
    )
    return steps_of(tissue_maps(image, brain, label, source.grid))
