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
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.processes import end_with_parent
from workflow_scripts.preprocess.phantoms import phantom_on_grid
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.tissue import tissue_maps
from workflow_scripts.synthesis.request_table import CENTROID

# A process takes seconds to start, an anatomy about one.
REQUESTS_A_PROCESS = 4

# Tissue maps (N, 3, X, Y, Z), 0 to 255, of completed requests.
Anatomies = Callable[[pd.DataFrame], NDArray[np.uint8]]


@dataclass(frozen=True)
class PhantomAnatomies:
    """Nobody's brain: for each request a phantom of its own, drawn from the request's seed and
    pushed aside by its tumour.

    The phantom's images pass through the same tissue classification as a patient's.
    """

    modalities: list[str]
    grid: Grid
    phantom: PhantomSettings
    preprocess: PreprocessSettings
    processes: int = 1

    def __call__(self, requests: pd.DataFrame) -> NDArray[np.uint8]:
        make = partial(_tissue_of_phantom, self)
        rows = [row for _, row in requests.iterrows()]
        processes = min(self.processes, len(rows) // REQUESTS_A_PROCESS)
        if processes < 2:
            return np.stack([make(row) for row in rows])
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, initializer=_single_thread) as pool:
            return np.stack(list(pool.map(make, rows)))


def no_anatomies(requests: pd.DataFrame) -> NDArray[np.uint8]:
    """For a denoiser that is told no anatomy: (N, 0)."""
    return np.zeros((len(requests), 0), np.uint8)


def _single_thread() -> None:
    """Set up a process of several: it ends with the one that started it."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    end_with_parent()


def _tissue_of_phantom(source: PhantomAnatomies, request: pd.Series) -> NDArray[np.uint8]:
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
    return (tissue_maps(image, brain, label, source.grid) * 255).round().astype(np.uint8)
