"""Smooth random fields, and interpolation of volumes.

Volumes are float32, points are in voxels: voxel (i, j, k) of a volume (X, Y, Z) lies at (i, j, k).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

Array = NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> Array:
    """A random field (X, Y, Z) of ``shape`` that is smooth over ``length`` voxels.

    White noise on nodes that lie ``length`` voxels apart (4 or more along each axis) is smoothed by
    a Gaussian, standardised and interpolated linearly. The mean is 0; the standard deviation is 1
    at the nodes, and a little less between them.
    """
    nodes = [max(4, round(n / length) + 1) for n in shape]
    coarse = ndimage.gaussian_filter(rng.standard_normal(nodes, dtype=np.float32), 0.8)
    coarse = (coarse - coarse.mean()) / coarse.std()
    return resize(coarse[None], shape)[0]


def resize(volumes: Array, shape: tuple[int, ...]) -> Array:
    """Interpolate volumes (C, X, Y, Z) linearly onto a grid of ``shape``, whose corner voxels
    coincide with theirs."""
    source = torch.from_numpy(np.ascontiguousarray(volumes, dtype=np.float32))[None]
    return functional.interpolate(source, tuple(shape), mode="trilinear", align_corners=True)[
        0
    ].numpy()


def sample(volumes: Array, points: Array, padding: str = "border") -> Array:
    """Values (C, …) of volumes (C, X, Y, Z) at ``points`` (3, …) in voxels, by linear
    interpolation.

    Outside the volume the nearest voxel counts (``padding="border"``), or 0 (``"zeros"``).
    """
    source = torch.from_numpy(np.ascontiguousarray(volumes, dtype=np.float32))[None]
    size = torch.tensor(source.shape[:1:-1], dtype=torch.float32)
    # grid_sample takes the last axis first, and the centres of the outermost voxels as -1 and 1.
    grid = torch.from_numpy(np.ascontiguousarray(points[::-1], dtype=np.float32))
    grid = grid.reshape(3, -1).T[None, None, None] * (2 / (size - 1)) - 1
    values = functional.grid_sample(source, grid, padding_mode=padding, align_corners=True)
    return values.reshape(len(volumes), *points.shape[1:]).numpy()


def move(volume: Array, matrix: NDArray[np.float64]) -> Array:
    """A volume (X, Y, Z) resampled linearly: voxel ``i`` takes the value at ``matrix @ i``, where
    ``matrix`` (4 × 4) takes voxels to voxels. Outside, the nearest voxel counts."""
    shape = volume.shape
    size = np.array(shape) - 1
    # ``scale`` takes torch's coordinates, -1 to 1 between the outermost voxels, to voxels. In
    # these coordinates the map is scale⁻¹ · matrix · scale, with the axes in reverse order.
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
    """Coordinates (3, X, Y, Z) of the voxels of a volume of ``shape`` (X, Y, Z), in voxels."""
    return np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))


def rotation(degrees: NDArray | tuple[float, float, float]) -> NDArray[np.float64]:
    """Rotation matrix (3 × 3) about x, then y, then z, by angles in degrees; right-handed."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
        result = turn @ result
    return result
