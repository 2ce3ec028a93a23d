"""Anatomies of synthetic patients: tissue maps without a tumour."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import steps_of
from workflow_scripts.common.processes import end_with_parent
from workflow_scripts.phantoms.anatomy import Mass
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.preprocess.grid_phantoms import phantom_on_grid
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.tissue import tissue_maps, with_quantiles
from workflow_scripts.synthesis.anatomy_folder import Brain, read_brain
from workflow_scripts.synthesis.request_table import CENTROID, PHANTOM, is_training
from workflow_scripts.synthesis.training_copies import TrainingCopies

# Requests per process: a process takes seconds to start, an anatomy about one.
REQUESTS_A_PROCESS = 4


class Anatomies(Protocol):
    """The anatomies named in requests."""

    def tissue(self, requests: pd.DataFrame) -> NDArray[np.uint8]:
        """Tissue maps (N, 3, X, Y, Z), 0 to 255, of completed requests."""

    def brain_of(self, name: str) -> NDArray[np.bool_] | None:
        """Brain mask (X, Y, Z) of a named anatomy; ``None`` for a phantom, for which the common
        brain mask applies. Raises ``UserError`` for an unusable anatomy."""


class NoAnatomies:
    """For a denoiser without an anatomy."""

    def tissue(self, requests: pd.DataFrame) -> NDArray[np.uint8]:
        """(N, 0)."""
        return np.zeros((len(requests), 0), np.uint8)

    def brain_of(self, name: str) -> None:
        """``None``. Raises ``UserError`` for any anatomy but a phantom's."""
        if name != PHANTOM:
            raise UserError(
                "this model takes no anatomy (diffusion.anatomy: none); omit the column anatomy"
            )


@dataclass(frozen=True)
class OneAnatomy:
    """The same brain for all requests: tissue maps (3, X, Y, Z), 0 to 255."""

    maps: NDArray[np.uint8]

    def tissue(self, requests: pd.DataFrame) -> NDArray[np.uint8]:
        """Tissue maps (N, 3, X, Y, Z), 0 to 255."""
        return np.repeat(self.maps[None], len(requests), 0)

    def brain_of(self, name: str) -> NDArray[np.bool_]:
        """Brain mask (X, Y, Z)."""
        return self.maps.any(0)


@dataclass(frozen=True)
class RequestedAnatomies:
    """The anatomies named in requests: a new phantom for each, or a patient's brain.

    A phantom is drawn with the request's seed, and displaced by its tumour. Its images pass through
    the same tissue classification as a patient's, and its maps get the ``quantiles`` of the
    training patients' maps (``with_quantiles``), if there are any. Any other ``anatomy`` is one of
    the training patients and their ``copies``, or a folder (``read_brain``), which is read once.
    """

    modalities: list[str]
    grid: Grid
    phantom: PhantomSettings
    preprocess: PreprocessSettings
    processes: int = 1
    copies: TrainingCopies | None = None
    quantiles: NDArray[np.float64] | None = field(default=None, compare=False)
    read: dict[str, NDArray[np.uint8]] = field(default_factory=dict, compare=False)

    def tissue(self, requests: pd.DataFrame) -> NDArray[np.uint8]:
        """Tissue maps (N, 3, X, Y, Z), 0 to 255."""
        rows = [row for _, row in requests.iterrows()]
        phantom_maps = iter(self._phantoms([row for row in rows if row["anatomy"] == PHANTOM]))
        return np.stack(
            [
                next(phantom_maps) if row["anatomy"] == PHANTOM else self._named(row["anatomy"])
                for row in rows
            ]
        )

    def brain_of(self, name: str) -> NDArray[np.bool_] | None:
        """Brain mask (X, Y, Z) of a named anatomy; ``None`` for a phantom."""
        return None if name == PHANTOM else self._named(name).any(0)

    def brain(self, folder: str) -> Brain:
        """The brain in a folder that requests may name."""
        return read_brain(folder, self.modalities, self.grid, self.preprocess)

    def _named(self, name: str) -> NDArray[np.uint8]:
        """Tissue maps (3, X, Y, Z), 0 to 255, of a named patient's brain."""
        if is_training(name):
            if self.copies is None:
                raise UserError(
                    f"anatomy '{name}' is a training patient's, which a model folder does not "
                    f"contain; name a folder of images, or {PHANTOM}"
                )
            return self.copies.tissue[self.copies.row(name)]
        if name not in self.read:
            self.read[name] = steps_of(self.brain(name).tissue)
        return self.read[name]

    def _phantoms(self, rows: list[pd.Series]) -> list[NDArray[np.uint8]]:
        make = partial(tissue_of_phantom, replace(self, read={}, copies=None))
        processes = min(self.processes, len(rows) // REQUESTS_A_PROCESS)
        if processes < 2:
            return [make(row) for row in rows]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, initializer=_single_thread) as pool:
            return list(pool.map(make, rows))


def _single_thread() -> None:
    """Set up a worker process: one thread, and it ends with its parent."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    end_with_parent()


def tissue_of_phantom(source: RequestedAnatomies, request: pd.Series) -> NDArray[np.uint8]:
    """Tissue maps (3, X, Y, Z), 0 to 255, of a request's phantom."""
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
    tissue = tissue_maps(image, brain, label, source.grid)
    if source.quantiles is not None:
        tissue = with_quantiles(tissue, source.quantiles)
    return steps_of(tissue)
