"""Smooth random fields, and volumes read at other points than their voxels."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

Array = NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> Array:
    """A random field of ``shape``, mean 0 and sd 1 or a little less, smooth over ``length`` voxels.

    It is drawn on a grid of nodes ``length`` apart, and interpolated linearly.
    """
    nodes = [max(4, round(n / length) + 1) for n in shape]
    coarse = ndimage.gaussian_filter(rng.standard_normal(nodes, dtype=np.float32), 0.8)
    coarse = (coarse - coarse.mean()) / coarse.std()
    return resize(coarse[None], shape)[0]


def resize(volumes: Array, shape: tuple[int, ...]) -> Array:
    """Interpolate volumes (C, X, Y, Z) linearly onto ``shape``; the corner voxels stay in place."""
    source = torch.from_numpy(np.ascontiguousarray(volumes, dtype=np.float32))[None]
    return functional.interpolate(source, tuple(shape), mode="trilinear", align_corners=True)[
        0
    ].numpy()


def sample(volumes: Array, points: Array, padding: str = "border") -> Array:
    """Read volumes (C, X, Y, Z) at ``points`` (3, ...) in voxels: (C, ...).

    Interpolation is linear; outside, the border continues, or all is 0 with ``padding="zeros"``.
    """
    source = torch.from_numpy(np.ascontiguousarray(volumes, dtype=np.float32))[None]
    size = torch.tensor(source.shape[:1:-1], dtype=torch.float32)
    # torch names the last axis first, and spans each from -1 to 1.
    grid = torch.from_numpy(np.ascontiguousarray(points[::-1], dtype=np.float32))
    grid = grid.reshape(3, -1).T[None, None, None] * (2 / (size - 1)) - 1
    values = functional.grid_sample(source, grid, padding_mode=padding, align_corners=True)
    return values.reshape(len(volumes), *points.shape[1:]).numpy()


def move(volume: Array, matrix: NDArray[np.float64]) -> Array:
    """Resample ``volume`` (X, Y, Z): voxel i takes the value at ``matrix`` (4 × 4) times i."""
    shape = volume.shape
    size = np.array(shape) - 1
    scale = np.diag([*(size / 2), 1.0])
    scale[:3, 3] = size / 2
    theta = (np.linalg.inv(scale) @ matrix @ scale)[:3]
    theta = np.concatenate([theta[:, 2::-1], theta[:, 3:]], axis=1)[::-1].copy()
    grid = functional.affine_grid(
        torch.from_numpy(theta.astype(np.float32))[None], [1, 1, *shape], align_corners=True
    )
    source = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]
    return functional.grid_sample(source, grid, padding_mode="border", align_corners=True)[
        0, 0
    ].numpy()


def voxel_points(shape: tuple[int, ...]) -> Array:
    """The voxel coordinates of a volume, (3, X, Y, Z)."""
    return np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))


def rotation(degrees: NDArray | tuple[float, float, float]) -> NDArray[np.float64]:
    """Rotation matrix (3 × 3) about x, then y, then z."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
        result = turn @ result
    return result
