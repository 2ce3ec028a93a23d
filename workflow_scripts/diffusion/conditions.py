"""The condition of a sample: the tumour's attributes as a vector, and the tumour drawn as maps.

All positions and lengths are in mm of template space.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workflow_scripts.common.attributes import AXES, CONDITIONS, SHARES
from workflow_scripts.common.grid import Grid

LOGARITHMIC = ("volume_ml", "surface_mm2")
# Channels of ``draw_maps``: position (3), offset (3), soft ellipsoid.
MAPS = 7
# Length of a condition vector: nine attributes, each share with a flag for whether it is known, and
# a flag that is 1 for a cohort's patients and 0 for a prior's phantoms.
VECTOR = len(CONDITIONS) + 2 * len(SHARES) + 1
# One unit of the offset maps. Tumours are a few centimetres wide.
OFFSET_MM = 40.0


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each condition over one split's training patients.

    Volume and surface are scaled as logarithms. ``box_ratio`` (x, y, z) is the mean extent of the
    box divided by the cube root of the volume; it completes requests without a box. ``patients`` is
    1 for a cohort's patients, and 0 for the phantoms that a prior learns from.
    """

    mean: list[float]
    sd: list[float]
    box_ratio: list[float]
    patients: int = 1

    @classmethod
    def fit(cls, attributes: pd.DataFrame, patients: int = 1) -> "Scaling":
        """The scaling for ``attributes`` of training patients and their copies, one row each."""
        values = _logarithms(attributes)
        side = np.cbrt(attributes["volume_ml"].to_numpy() * 1000)
        ratio = [float(np.mean(attributes[f"box_{a}_mm"] / side)) for a in AXES]
        # A condition that never varies is left unscaled.
        sd = np.where(values.std(0) > 1e-6, values.std(0), 1.0)
        return cls(values.mean(0).tolist(), sd.tolist(), ratio, patients)

    def vectors(self, attributes: pd.DataFrame) -> Tensor:
        """Condition vectors (N, ``VECTOR``) of ``attributes``, one row each.

        They hold the standardised attributes, then each share of the tumour, scaled from 0 … 1 to
        -1 … 1, with its flag, and ``patients``. Share and flag are 0 if the share is unknown: NaN,
        or not a column.
        """
        scaled = (_logarithms(attributes) - np.array(self.mean)) / np.array(self.sd)
        shares = attributes.reindex(columns=SHARES).to_numpy(float)
        known = np.isfinite(shares)
        pairs = np.stack([np.where(known, 2 * shares - 1, 0), known], -1).reshape(len(shares), -1)
        side = np.full((len(shares), 1), self.patients)
        return torch.from_numpy(np.hstack([scaled, pairs, side]).astype(np.float32))

    def to_dict(self) -> dict[str, list[float] | int]:
        """The values as they stand in the model's ``config.json``."""
        return asdict(self)


def _logarithms(attributes: pd.DataFrame) -> np.ndarray:
    """The conditions (N, 9) of attributes, with the logarithms of volume and surface."""
    table = attributes[list(CONDITIONS)].astype(float).copy()
    for name in LOGARITHMIC:
        table[name] = np.log(table[name])
    return table.to_numpy()


def forget_shares(vectors: Tensor, forgotten: Tensor) -> Tensor:
    """Condition vectors (N, ``VECTOR``) in which the ``forgotten`` shares (N, 2), a mask, are
    unknown: value and flag are 0."""
    kept = torch.ones_like(vectors)
    # Each share has two numbers: its value and its flag.
    kept[:, len(CONDITIONS) : -1] = (~forgotten).to(kept).repeat_interleave(2, dim=1)
    return vectors * kept


def ellipsoid_of(attributes: pd.DataFrame) -> Tensor:
    """Centroid and semi-axes (N, 6) in mm of ellipsoids with the requested volumes, one row of
    ``attributes`` each.

    The semi-axes have the proportions of the box: ``s = box / 2 · f`` with ``f`` such that
    ``4/3 π s_x s_y s_z`` is the volume.
    """
    centroid = attributes[[f"centroid_{a}_mm" for a in AXES]].to_numpy(float)
    box = attributes[[f"box_{a}_mm" for a in AXES]].to_numpy(float)
    volume = attributes["volume_ml"].to_numpy(float) * 1000
    factor = np.cbrt(volume / (np.pi / 6 * box.prod(1)))[:, None]
    return torch.from_numpy(np.hstack([centroid, box / 2 * factor]).astype(np.float32))


def draw_maps(ellipsoid: Tensor, present: Tensor, points: Tensor) -> Tensor:
    """Maps (N, 7, h, w, Z) of the requested tumours, at ``points`` (3, h, w, Z) in mm.

    Channels are the position in units of 100 mm (3), the offset from the centroid in units of
    ``OFFSET_MM`` (3), and the soft ellipsoid ``sigmoid(6 (1 - d))``, where d is the distance from
    the centroid in semi-axes: one half at the ellipsoid's surface. ``ellipsoid`` (N, 6) is that of
    ``ellipsoid_of``. ``present`` (N,) is False for the null condition, whose offset and ellipsoid
    are 0.
    """
    shape = (-1, 3, 1, 1, 1)
    offset = points[None] - ellipsoid[:, :3].view(shape)
    distance = (offset / ellipsoid[:, 3:].view(shape)).square().sum(1, keepdim=True).sqrt()
    soft = torch.sigmoid((1 - distance) * 6)
    drawn = torch.cat([offset / OFFSET_MM, soft], 1) * present.view(-1, 1, 1, 1, 1)
    position = (points / 100)[None].expand(len(ellipsoid), -1, -1, -1, -1)
    return torch.cat([position, drawn], 1)


def latent_points(grid: Grid, down: int) -> Tensor:
    """Positions (3, X/d, Y/d, Z) in mm of the centres of a latent's elements. An element covers
    d × d voxels of a slice, d being ``down``."""
    steps = (down, down, 1)
    axes = [(np.arange(n // d) + 0.5) * d - 0.5 for n, d in zip(grid.shape, steps, strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    points = grid.to_mm(voxels).reshape(*(len(axis) for axis in axes), 3)
    return torch.from_numpy(np.moveaxis(points, -1, 0).astype(np.float32).copy())
