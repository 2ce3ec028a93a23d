"""Geometric augmentation of whole patients, before they are encoded.

A handful of patients shows a handful of tumour sizes and places. Warped copies, whose attributes
are measured again, show hundreds.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.autoencoder.settings import WarpSettings
from workflow_scripts.common.grid import Grid


def augment_patient(
    image: NDArray,
    label: NDArray,
    tissue: NDArray,
    grid: Grid,
    warp: WarpSettings,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """Warp and re-contrast a patient: image (M, X, Y, Z), label (X, Y, Z) and tissue maps
    (3, X, Y, Z).

    One warp is composed of a mirroring in x, an affine map, a smooth elastic field, and a field
    around the tumour that stretches and moves it against the rest of the brain, so that image and
    maps are interpolated once (linearly; the label by its nearest value).
    """
    points = _sampling_points(label, grid, warp, rng)
    # grid_sample wants the last axis first, in [-1, 1] from the first voxel's middle to the last's.
    extent = (np.array(grid.shape) - 1) * np.array(grid.spacing_mm) / 2
    flow = torch.from_numpy((points / extent)[..., ::-1].astype(np.float32).copy())[None]
    sample = torch.nn.functional.grid_sample
    volumes = torch.from_numpy(np.concatenate([image, tissue]))[None]
    warped, moved_tissue = np.split(
        sample(volumes, flow, align_corners=True)[0].numpy(), [len(image)]
    )
    moved = sample(
        torch.from_numpy(label.astype(np.float32))[None, None],
        flow,
        mode="nearest",
        align_corners=True,
    )[0, 0].numpy()
    gamma = np.exp(warp.gamma * rng.uniform(-1, 1, (len(image), 1, 1, 1)))
    gain = 1 + warp.gain * rng.uniform(-1, 1, (len(image), 1, 1, 1))
    contrasted = np.clip(np.clip(warped, 0, 1) ** gamma * gain, 0, 1)
    return contrasted.astype(np.float32), moved.astype(np.uint8), moved_tissue


def _sampling_points(
    label: NDArray, grid: Grid, warp: WarpSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Where each voxel takes its value, in mm from the grid's middle, (X, Y, Z, 3)."""
    spacing, shape = np.array(grid.spacing_mm), np.array(grid.shape)
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    here = (voxels - (shape - 1) / 2) * spacing
    source = here @ _random_affine(warp, rng).T + warp.shift_mm * rng.uniform(-1, 1, 3)
    source += _elastic(shape, spacing, warp, rng)
    if rng.random() < warp.mirror:
        source[..., 0] *= -1
    tumour = np.argwhere(label > 0)
    centre = (tumour.mean(0) - (shape - 1) / 2) * spacing
    radius = (len(tumour) * spacing.prod() * 3 / 4 / np.pi) ** (1 / 3)
    return source + _tumour_field(source - centre, radius, warp, rng)


def _random_affine(warp: WarpSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rotation, size and shear about the grid's middle."""
    skew = rng.normal(0, np.radians(warp.rotation_deg), 3)
    rotation = np.array([[1, -skew[2], skew[1]], [skew[2], 1, -skew[0]], [-skew[1], skew[0], 1]])
    shear = rng.normal(0, warp.shear, (3, 3))
    scale = np.diag(np.exp(warp.scale * (0.5 * rng.normal() + rng.normal(0, 0.85, 3))))
    return rotation @ scale + shear * (1 - np.eye(3))


def _elastic(
    shape: NDArray, spacing: NDArray, warp: WarpSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A smooth displacement: random vectors on coarse knots, splines between.

    The splines are drawn on a quarter of the grid and completed linearly, which is 20 times
    quicker and, at a distance of knots of many voxels, the same.
    """
    knots = np.maximum(np.ceil(shape * spacing / warp.knots_mm).astype(int) + 1, 4)
    coarse = rng.normal(0, warp.elastic_mm, (3, *knots))
    quarter = np.maximum(shape // 4, knots)
    fields = [ndimage.zoom(field, quarter / knots, order=3, mode="nearest") for field in coarse]
    fine = torch.nn.functional.interpolate(
        torch.from_numpy(np.stack(fields))[None], tuple(map(int, shape)), mode="trilinear"
    )
    return np.moveaxis(fine[0].numpy(), 0, -1)


def _tumour_field(
    offset: NDArray, radius: float, warp: WarpSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Displacement (mm) near the tumour that stretches it by axis and moves it a little.

    It fades as ``exp(-(r / R)^2 / 2)``, R twice the tumour's radius and 6 mm; its slope stays
    below 1, so that the warp does not fold.
    """
    stretch = warp.tumour_scale * (0.87 * rng.normal() + 0.49 * rng.normal(0, 1, 3))
    reach = 2.0 * radius + 6.0
    fade = np.exp(-0.5 * (np.linalg.norm(offset, axis=-1, keepdims=True) / reach) ** 2)
    shift = rng.normal(0, warp.tumour_shift * reach, 3)
    return fade * (offset * np.clip(stretch, -0.45, 0.45) + shift)
