"""Geometric augmentation of whole patients, before they are encoded.

A few patients have few tumour sizes and positions. Warped copies, whose attributes are measured
again, have hundreds.
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
    """Warp a patient and change its contrast: image (M, X, Y, Z), label (X, Y, Z) and tissue maps
    (3, X, Y, Z).

    Mirroring in x, an affine map, a smooth elastic field, and a field that stretches and moves the
    tumour relative to the brain are composed to one warp, so that image and maps are interpolated
    once (linearly; the label by nearest neighbour).
    """
    points = _sampling_points(label, grid, warp, rng)
    # grid_sample expects the last axis first, in [-1, 1] from the first voxel's centre to the
    # last's.
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
    """The point from which each voxel takes its value, in mm from the grid's centre,
    (X, Y, Z, 3)."""
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
    """A random affine map about the grid's centre: rotation, scale and shear."""
    skew = rng.normal(0, np.radians(warp.rotation_deg), 3)
    rotation = np.array([[1, -skew[2], skew[1]], [skew[2], 1, -skew[0]], [-skew[1], skew[0], 1]])
    shear = rng.normal(0, warp.shear, (3, 3))
    scale = np.diag(np.exp(warp.scale * (0.5 * rng.normal() + rng.normal(0, 0.85, 3))))
    return rotation @ scale + shear * (1 - np.eye(3))


def _elastic(
    shape: NDArray, spacing: NDArray, warp: WarpSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A smooth displacement: random vectors on coarse knots, interpolated by splines.

    The splines are evaluated on a quarter of the grid and interpolated linearly to the rest. This
    is 20 times faster and makes no difference if knots are many voxels apart.
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
    """Displacement (mm) near the tumour that stretches it along each axis and shifts it.

    It decays as ``exp(-(r / R)^2 / 2)``, with R twice the tumour's radius plus 6 mm. Its slope
    stays below 1, so the warp does not fold.
    """
    stretch = warp.tumour_scale * (0.87 * rng.normal() + 0.49 * rng.normal(0, 1, 3))
    reach = 2.0 * radius + 6.0
    fade = np.exp(-0.5 * (np.linalg.norm(offset, axis=-1, keepdims=True) / reach) ** 2)
    shift = rng.normal(0, warp.tumour_shift * reach, 3)
    return fade * (offset * np.clip(stretch, -0.45, 0.45) + shift)
