"""Implanted patients: a training patient's own background with a generated tumour."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import distance_mm
from workflow_scripts.diffusion.conditions import ellipsoid_of
from workflow_scripts.synthesis.settings import ImplantSettings
from workflow_scripts.synthesis.training_copies import TrainingCopies


@dataclass(frozen=True)
class Background:
    """Backgrounds from training patients: their latents (N, C, h, w, Z), contrasts
    (N, 3, terms, M), intensities of tumour regions (N, 3, M) and canonical labels (N, X, Y, Z) of
    their own tumours, empty if these are healed; the share of each latent that is generated
    (N, 1, h, w, Z), 0 to 1; and the voxels in which the new tumour is measured (N, X, Y, Z)."""

    latents: Tensor
    contrasts: Tensor
    intensities: Tensor
    labels: NDArray[np.uint8]
    anew: Tensor
    measured: NDArray[np.bool_]


def is_implanted(requests: pd.DataFrame) -> bool:
    """Whether the requested tumours are implanted into training patients."""
    return "background" in requests and bool((requests["background"] == "kept").all())


def enlarged(ellipsoids: Tensor, margin_mm: float) -> Tensor:
    """Ellipsoids (N, 6) with semi-axes extended by a margin."""
    return torch.cat([ellipsoids[:, :3], ellipsoids[:, 3:] + margin_mm], 1)


def inside(ellipsoid: Tensor, grid: Grid) -> NDArray[np.bool_]:
    """Voxels (X, Y, Z) of the grid inside an ellipsoid (6,)."""
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
    centre, axes = ellipsoid[:3].numpy(), ellipsoid[3:].numpy()
    return (((grid.to_mm(voxels) - centre) / axes) ** 2).sum(-1) <= 1


def backgrounds(
    requests: pd.DataFrame,
    layouts: NDArray[np.uint8],
    copies: TrainingCopies,
    grid: Grid,
    settings: ImplantSettings,
) -> Background:
    """The backgrounds for requests whose ``anatomy`` is a training patient or copy.

    Latents are generated in the tumour's layout (N, X, Y, Z), or in the requested ellipsoid if that
    is empty, and in the patient's own tumour if it is healed. Their share decreases from 1 to 0
    over the margin around these.
    """
    latents, labels, anew, measured = [], [], [], []
    rows = [copies.row(name) for name in requests["anatomy"]]
    names, ellipsoids = requests["anatomy"], ellipsoid_of(requests)
    for ellipsoid, layout, name in zip(ellipsoids, layouts, names, strict=True):
        latents.append(torch.from_numpy(copies.latents[copies.row(name)].astype(np.float32)))
        tumour = layout > 0 if layout.any() else inside(ellipsoid, grid)
        labels.append(copies.label(name))
        if settings.own_tumour == "healed":
            tumour = tumour | (labels[-1] > 0)
            labels[-1] = np.zeros_like(labels[-1])
        distance = distance_mm(tumour, grid)
        anew.append(_coarse(1 - distance / max(settings.margin_mm, 1e-6), latents[-1].shape[1:]))
        measured.append((distance <= settings.margin_mm) & (labels[-1] == 0))
    kept = np.stack([copies.contrasts[row] for row in rows])
    means = copies.intensities[rows]
    return Background(
        torch.stack(latents),
        torch.from_numpy(kept),
        torch.from_numpy(means),
        np.stack(labels),
        torch.stack(anew)[:, None],
        np.stack(measured),
    )


def room_for(
    requests: pd.DataFrame, copies: TrainingCopies, grid: Grid, settings: ImplantSettings
) -> NDArray[np.bool_]:
    """Masks (N, X, Y, Z) of the allowed positions of requested tumours: in the named brain, and
    farther than the margin from the patient's own tumour if that is kept."""
    rooms = []
    for name in requests["anatomy"]:
        room = copies.brain(name)
        if settings.own_tumour == "kept":
            room = room & (distance_mm(copies.tumour(name), grid) > settings.margin_mm)
        rooms.append(room)
    return np.stack(rooms)


def _coarse(share: NDArray[np.float64], shape: tuple[int, ...]) -> Tensor:
    """The maximum of the shares (X, Y, Z), at least 0, in each latent element (h, w, Z)."""
    h, w, z = shape
    blocks = share.reshape(h, share.shape[0] // h, w, share.shape[1] // w, z)
    return torch.from_numpy(blocks.max((1, 3)).clip(0, 1).astype(np.float32))
