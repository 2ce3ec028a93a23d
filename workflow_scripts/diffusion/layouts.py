"""Layouts: which regions a tumour has, and where they lie, before there is an image.

A layout has soft nested masks (whole tumour, core, necrosis), (3, S, S, S), in the frame of the
requested ellipsoid: S = ``CELLS`` along each axis, centred on the ellipsoid, with faces that lie
``REACH`` semi-axes from its centre. There, tumours of all sizes are alike. A denoiser of their own
draws layouts, conditioned on the request and on the tissue maps in the frame. Layouts are rendered
with the brain; the denoiser of latents adds what the rendering lacks (a cascade, Ho et al. 2022).
"""

import math

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from workflow_scripts.common.attributes import SHARES
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import from_nested
from workflow_scripts.common.masks import largest_voxels
from workflow_scripts.diffusion.conditions import VECTOR, ellipsoid_of
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.outlines import with_sphericity
from workflow_scripts.diffusion.settings import CELLS, DenoiserSettings, LayoutSettings
from workflow_scripts.preprocess.tissue import TISSUES

REGIONS = 3
REACH = 2.0  # semi-axes from the centre of the frame to its faces
# Standard deviation of the Gaussian that softens masks, in cells.
SOFTENING = 0.5
# Shifts of a layout by the error of its centroid, before and after its outline is changed.
CORRECTIONS = 2
LAYOUT_SHAPE = (REGIONS, CELLS, CELLS, CELLS)
# Maps of the tissues and of the position, beside layouts.
MAPS_BESIDE = len(TISSUES) + 3


def build_layout(settings: LayoutSettings) -> StackDenoiser:
    """An untrained denoiser of layouts (B, 3, S, S, S) with the configured sizes."""
    return StackDenoiser(
        channels=REGIONS,
        map_channels=MAPS_BESIDE,
        conditions=VECTOR,
        size=LAYOUT_SHAPE[1:],
        widths=settings.widths,
        blocks=settings.blocks,
        norm_groups=settings.norm_groups,
        attention=[False] * len(settings.widths),
        positions=True,
    )


def layout_noise(settings: DenoiserSettings) -> DenoiserSettings:
    """The settings of the layouts' diffusion process: EDM's preconditioning, whatever that of the
    latents, and log-normal noise levels of their own."""
    own = settings.layout
    levels = {"noise": "lognormal", "noise_mean": own.noise_mean, "noise_sd": own.noise_sd}
    return settings.model_copy(update={"preconditioning": "edm", **levels})


def frame_points(ellipsoids: Tensor) -> Tensor:
    """Positions (N, 3, S, S, S) in mm of the cells in the frames of ``ellipsoids`` (N, 6), centroid
    and semi-axes in mm."""
    axis = (torch.arange(CELLS, device=ellipsoids.device) + 0.5) * (2 * REACH / CELLS) - REACH
    units = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    shape = (-1, 3, 1, 1, 1)
    return ellipsoids[:, :3].view(shape) + ellipsoids[:, 3:].view(shape) * units


def in_frame(volumes: Tensor, points: Tensor, grid: Grid) -> Tensor:
    """Values (N, C, S, S, S) of volumes (N, C, X, Y, Z) on a grid at points (N, 3, S, S, S) in mm,
    by trilinear interpolation. Outside the grid they are 0."""
    inverse = torch.from_numpy(np.linalg.inv(grid.affine)).to(points)
    voxels = torch.einsum("ij,njxyz->nxyzi", inverse[:3, :3], points) + inverse[:3, 3]
    last = torch.tensor([n - 1 for n in grid.shape]).to(points)
    # grid_sample takes the last axis first, and the centres of the outermost voxels as -1 and 1.
    sites = (2 * voxels / last - 1).flip(-1)
    return functional.grid_sample(volumes, sites, align_corners=True)


def soft_masks(masks: Tensor, points: Tensor, grid: Grid) -> Tensor:
    """Layouts (N, 3, S, S, S), 0 to 1, of nested masks (N, 3, X, Y, Z) on a grid, at the cells'
    ``points`` (N, 3, S, S, S) in mm; softened by a Gaussian of ``SOFTENING`` cells."""
    layouts = in_frame(masks.float(), points, grid)
    reach = math.ceil(3 * SOFTENING)
    offsets = torch.arange(-reach, reach + 1, device=layouts.device, dtype=layouts.dtype)
    kernel = (-0.5 * (offsets / SOFTENING) ** 2).exp()
    kernel = (kernel / kernel.sum()).repeat(REGIONS, 1)
    for axis in range(3):
        shape, padding = [REGIONS, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = -1, reach
        layouts = functional.conv3d(layouts, kernel.view(shape), padding=padding, groups=REGIONS)
    return layouts


def scaled(layouts: Tensor) -> Tensor:
    """Layouts (N, 3, S, S, S), 0 to 1, as the denoiser has them, -1 to 1."""
    return 2 * layouts - 1


def unscaled(x: Tensor) -> Tensor:
    """The inverse of ``scaled``."""
    return (x + 1) / 2


def layout_maps(tissue: Tensor, points: Tensor, grid: Grid) -> Tensor:
    """Maps (N, 6, S, S, S) beside layouts, at the cells' ``points`` (N, 3, S, S, S) in mm: tissue
    maps (N, 3, X, Y, Z), 0 to 255, scaled to 0 … 1, and the position in units of 100 mm."""
    return torch.cat([in_frame(tissue.to(points) / 255, points, grid), points / 100], 1)


def label_of(
    layout: NDArray[np.float32],
    request: pd.Series,
    room: NDArray[np.bool_],
    noise: NDArray[np.float32],
    grid: Grid,
    regions: bool,
) -> NDArray[np.uint8]:
    """Canonical label (X, Y, Z) of a ``layout`` (3, S, S, S) for a ``request``, within the mask
    ``room`` (X, Y, Z) of voxels that can be tumour.

    The whole tumour has the requested volume: the voxels of ``room`` where the layout is highest.
    The layout is shifted until their centroid is the requested one, as far as ``room`` allows. The
    outline gets the requested sphericity (``outlines.py``) from white ``noise`` (X, Y, Z). Core and
    enhancing tumour have the requested shares of the whole tumour. Where a share is NaN it is the
    layout's own, from the sum of the soft mask. Without ``regions``, all of the tumour is 2.
    """
    ellipsoid = ellipsoid_of(request.to_frame().T.infer_objects())[0].double().numpy()
    centre, axes = ellipsoid[:3].copy(), ellipsoid[3:]
    voxels = np.argwhere(room)
    mm = grid.to_mm(voxels)
    count = max(1, round(float(request["volume_ml"]) / grid.voxel_ml))

    def values(channel: int) -> NDArray[np.float64]:
        cells = ((mm - centre) / axes + REACH) * (CELLS / (2 * REACH)) - 0.5
        # Beyond the frame there is no tumour. The score falls with the distance from the frame, so
        # that voxels near it come first if the frame has too few.
        beyond = (cells - cells.clip(0, CELLS - 1)) ** 2
        inside = ndimage.map_coordinates(layout[channel], cells.T, order=1, mode="nearest")
        return inside - np.sqrt(beyond.sum(1))

    def highest(score: NDArray, allowed: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
        return largest_voxels(score - score.min() + 1, allowed, number)

    def outlined(whole: NDArray[np.bool_]) -> NDArray[np.bool_]:
        mask = np.zeros(room.shape, bool)
        mask[tuple(voxels[whole].T)] = True
        return with_sphericity(mask, float(request["sphericity"]), room, noise, grid)[room]

    # The whole tumour. Each shift changes which voxels are chosen, and so does each outline.
    everywhere = np.ones(len(voxels), bool)
    for _ in range(CORRECTIONS):
        whole = highest(values(0), everywhere, count)
        centre += ellipsoid[:3] - mm[whole].mean(0)
    for _ in range(CORRECTIONS):
        whole = outlined(highest(values(0), everywhere, count))
        centre += ellipsoid[:3] - mm[whole].mean(0)
    whole = outlined(highest(values(0), everywhere, count))
    masks = np.zeros((REGIONS, *room.shape), bool)
    parts = [whole, np.zeros_like(whole), np.zeros_like(whole)]
    if regions:
        size, (core, enhancing) = int(whole.sum()), (float(request[name]) for name in SHARES)
        scores = values(1), values(2)
        # Sums over the tumour alone: small errors of many voxels around it would add up.
        soft_core, soft_necrosis = (score[whole].clip(0, 1).sum() for score in scores)
        if np.isnan(core):
            core = max(soft_core / size, np.nan_to_num(enhancing))
        parts[1] = highest(scores[0], whole, round(core * size))
        necrosis = core * soft_necrosis / max(soft_core, 1e-6)
        if np.isfinite(enhancing):
            necrosis = max(0.0, core - enhancing)
        parts[2] = highest(scores[1], parts[1], round(necrosis * size))
    for mask, part in zip(masks, parts, strict=True):
        mask[tuple(voxels[part].T)] = True
    return from_nested(masks)
