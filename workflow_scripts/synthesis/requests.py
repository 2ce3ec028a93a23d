"""Requests for synthetic patients: completing them, and checking them against the brain."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.attributes import AXES, CONDITIONS, SHARES
from workflow_scripts.common.files import FLOATS, UserError
from workflow_scripts.common.geometry import same_grid
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import load_volume
from workflow_scripts.diffusion.conditions import Scaling, ellipsoid_of
from workflow_scripts.synthesis.request_table import CENTROID, PHANTOM, check_requests

# Distance between the seeds of runs, so that neighbouring seeds share no sample's noise.
SEEDS_A_RUN = 1_000_000
# At least this share of a requested ellipsoid must lie in the brain.
INSIDE = 0.75
# Of drawn requests: distance in mm of the centroid of what lies in the brain from the requested
# one.
SHIFT_MM = 3.0
# A tumour may fill at most this share of the brain.
LARGEST = 0.25


def load_brain(path: str | Path, grid: Grid) -> NDArray[np.bool_]:
    """Load a brain mask (X, Y, Z); raises ``UserError`` if its grid is not the run's."""
    mask, affine = load_volume(path)
    if not same_grid(mask.shape, affine, grid.shape, grid.affine):
        spacing = tuple(np.abs(np.diag(affine)[:3]).tolist())
        raise UserError(
            f"{path}: has a grid of {mask.shape} voxels of {spacing} mm, but this run's is "
            f"{grid.shape} voxels of {grid.spacing_mm} mm; set grid to the model's"
        )
    return mask > 0


def complete(requests: pd.DataFrame, scaling: Scaling, seed: int) -> pd.DataFrame:
    """Fill in the optional values of requests: name, seed, sphericity, surface and box.

    Sphericity is the training patients' mean. The surface follows from volume and sphericity
    (Wadell 1935), the box from the volume and the training patients' mean ratio. Shares of core and
    enhancing tumour stay empty: the denoiser then draws them as in the training patients. The
    default anatomy is a phantom. Raises ``UserError`` as ``check_requests`` does.
    """
    check_requests(requests)
    table = requests.copy().reset_index(drop=True)
    if "patient_id" not in table:
        table["patient_id"] = [f"synthetic-{row + 1:04d}" for row in range(len(table))]
    if "seed" not in table:
        table["seed"] = SEEDS_A_RUN * seed + np.arange(len(table))
    if "sphericity" not in table:
        table["sphericity"] = scaling.mean[CONDITIONS.index("sphericity")]
    side = np.cbrt(table["volume_ml"] * 1000)
    for axis, ratio in zip(AXES, scaling.box_ratio, strict=True):
        name = f"box_{axis}_mm"
        # Empty cells of a column with text are "".
        widths = pd.to_numeric(table[name], errors="coerce") if name in table else np.nan
        table[name] = pd.Series(widths, index=table.index).fillna(ratio * side)
    for name in SHARES:
        values = pd.to_numeric(table[name], errors="coerce") if name in table else np.nan
        table[name] = pd.Series(values, index=table.index, dtype=float)
    table["surface_mm2"] = np.cbrt(36 * np.pi) * side**2 / table["sphericity"]
    # Rounded as in a table, so that writing and reading does not change a request.
    for name in CONDITIONS:
        table[name] = [float(FLOATS % value) for value in table[name]]
    anatomy = table["anatomy"].fillna("") if "anatomy" in table else ""
    table["anatomy"] = pd.Series(anatomy, index=table.index, dtype=object).replace("", PHANTOM)
    return table[["patient_id", "seed", *CONDITIONS, *SHARES, "anatomy"]]


def ellipsoid_in_brain(
    request: pd.Series, brain: NDArray[np.bool_], grid: Grid
) -> NDArray[np.float64]:
    """Positions (N, 3), in mm, of the voxels of a completed request's ellipsoid that lie in a brain
    mask (X, Y, Z)."""
    ellipsoid = ellipsoid_of(request[list(CONDITIONS)].astype(float).to_frame().T)[0].numpy()
    centre, half = ellipsoid[:3], ellipsoid[3:]
    # Only the ellipsoid's box is looked at: the time does not grow with the grid.
    low = np.floor(grid.to_voxel(centre - half)).clip(0, grid.shape).astype(int)
    high = (np.ceil(grid.to_voxel(centre + half)) + 1).clip(0, grid.shape).astype(int)
    box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    points = grid.to_mm(np.argwhere(brain[box]) + low)
    return points[(((points - centre) / half) ** 2).sum(1) <= 1]


def reason_to_refuse(request: pd.Series, brain: NDArray[np.bool_], grid: Grid) -> str | None:
    """Why a completed request is impossible in a brain mask (X, Y, Z); ``None`` if it is
    possible."""
    return _reason(request, ellipsoid_in_brain(request, brain, grid), brain, grid)


def _reason(
    request: pd.Series, points: NDArray[np.float64], brain: NDArray[np.bool_], grid: Grid
) -> str | None:
    """``reason_to_refuse`` for the ``ellipsoid_in_brain``."""
    brain_ml = brain.sum() * grid.voxel_ml
    if request["volume_ml"] > LARGEST * brain_ml:
        return (
            f"volume_ml {request['volume_ml']:.0f} is more than {LARGEST:.0%} of the brain's "
            f"{brain_ml:.0f} mL"
        )
    # Parts outside the grid are missing from the mask, and so count as outside the brain.
    inside = len(points) * grid.voxel_ml / request["volume_ml"]
    if inside < INSIDE:
        centre_text = ", ".join(f"{request[name]:.0f}" for name in CENTROID)
        return (
            f"{request['volume_ml']:.0f} mL at ({centre_text}) mm: only {inside:.0%} of the tumour "
            f"lies in the brain, {INSIDE:.0%} is required"
        )
    return None


def has_room(request: pd.Series, brain: NDArray[np.bool_], grid: Grid) -> bool:
    """Whether a completed request is possible in a brain mask (X, Y, Z), and the part of its
    ellipsoid in the brain has its centroid within ``SHIFT_MM`` of the requested one.

    The border of the brain cuts off so much of other ellipsoids that the requested centroid cannot
    be met. Nine in ten training tumours of BraTS and their warped copies pass.
    """
    points = ellipsoid_in_brain(request, brain, grid)
    if _reason(request, points, brain, grid) is not None:
        return False
    requested = request[list(CENTROID)].to_numpy(float)
    return bool(np.linalg.norm(points.mean(0) - requested) <= SHIFT_MM)
