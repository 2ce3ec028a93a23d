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
from workflow_scripts.diffusion.conditions import Scaling
from workflow_scripts.synthesis.request_table import CENTROID, PHANTOM, check_requests

# Distance between the seeds of runs, so that neighbouring seeds share no sample's noise.
SEEDS_A_RUN = 1_000_000
# At least this share of a requested ellipsoid must lie in the brain.
INSIDE = 0.75
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


def reason_to_refuse(request: pd.Series, brain: NDArray[np.bool_], grid: Grid) -> str | None:
    """Why a completed request is impossible in a brain mask (X, Y, Z); ``None`` if it is
    possible."""
    brain_ml = brain.sum() * grid.voxel_ml
    if request["volume_ml"] > LARGEST * brain_ml:
        return (
            f"volume_ml {request['volume_ml']:.0f} is more than {LARGEST:.0%} of the brain's "
            f"{brain_ml:.0f} mL"
        )
    half = np.array([request[f"box_{a}_mm"] for a in AXES]) / 2
    half = half * np.cbrt(request["volume_ml"] * 1000 / (4 / 3 * np.pi * half.prod()))
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
    centre = np.array([request[name] for name in CENTROID], dtype=float)
    offset = (grid.to_mm(voxels) - centre) / half
    ellipsoid = (offset**2).sum(-1) <= 1
    # Parts outside the grid are missing from the mask, and so count as outside the brain.
    inside = (ellipsoid & brain).sum() * grid.voxel_ml / request["volume_ml"]
    if inside < INSIDE:
        centre_text = ", ".join(f"{value:.0f}" for value in centre)
        return (
            f"{request['volume_ml']:.0f} mL at ({centre_text}) mm: only {inside:.0%} of the tumour "
            f"lies in the brain, {INSIDE:.0%} is required"
        )
    return None
