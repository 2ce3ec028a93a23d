"""Implanted patients: a training patient's own background, and a tumour that is made for it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import draw_maps, ellipsoid_of
from workflow_scripts.synthesis.settings import ImplantSettings
from workflow_scripts.synthesis.training_copies import TrainingCopies, around


@dataclass(frozen=True)
class Background:
    """What is kept of training patients: their latents (N, C, h, w, Z), how much of each place is
    made anew (N, 1, h, w, Z), 0 to 1, and the voxels in which the new tumour is measured
    (N, X, Y, Z)."""

    latents: Tensor
    anew: Tensor
    measured: NDArray[np.bool_]


def enlarged(ellipsoids: Tensor, margin_mm: float) -> Tensor:
    """Ellipsoids (N, 6) with semi-axes that are longer by a margin."""
    return torch.cat([ellipsoids[:, :3], ellipsoids[:, 3:] + margin_mm], 1)


def inside(ellipsoid: Tensor, grid: Grid) -> NDArray[np.bool_]:
    """Voxels (X, Y, Z) of the grid inside an ellipsoid (6,)."""
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
    centre, axes = ellipsoid[:3].numpy(), ellipsoid[3:].numpy()
    return (((grid.to_mm(voxels) - centre) / axes) ** 2).sum(-1) <= 1


def backgrounds(
    requests: pd.DataFrame,
    copies: TrainingCopies,
    points: Tensor,
    grid: Grid,
    settings: ImplantSettings,
) -> Background:
    """The backgrounds of requests, whose ``anatomy`` names a training patient or copy.

    What is made anew is the requested ellipsoid with a margin, softly, and the patient's own tumour
    with a margin where it is healed. ``points`` (3, h, w, Z) are the latents' positions in mm.
    """
    ellipsoids = enlarged(ellipsoid_of(requests), settings.margin_mm)
    anew = draw_maps(ellipsoids, torch.ones(len(ellipsoids)), points)[:, -1:]
    latents, measured = [], []
    for row, name in enumerate(requests["anatomy"]):
        latents.append(torch.from_numpy(copies.latents[copies.row(name)].astype(np.float32)))
        measured.append(inside(ellipsoids[row], grid))
        if settings.own_tumour == "healed":
            healed = around(copies.tumour(name), settings.margin_mm, grid)
            anew[row, 0] = torch.maximum(anew[row, 0], _coarse(healed, points.shape[1:]))
            measured[row] |= healed
    return Background(torch.stack(latents), anew, np.stack(measured))


def _coarse(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> Tensor:
    """1 for latent elements (h, w, Z) that a mask (X, Y, Z) touches, else 0."""
    h, w, z = shape
    blocks = mask.reshape(h, mask.shape[0] // h, w, mask.shape[1] // w, z)
    return torch.from_numpy(blocks.any((1, 3)).astype(np.float32))
