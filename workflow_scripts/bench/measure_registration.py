"""Errors of registration to the template on the phantoms of a finished run, whose true transforms
are known: the standard deviations that ``phantoms/deformation.py`` draws from.

    python -m workflow_scripts.bench.measure_registration results
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

from workflow_scripts.common.files import UserError, read_json
from workflow_scripts.common.nifti import load_volume

# Step between the voxels of the brain that are followed.
EVERY = 50
# SimpleITK's axes point left and to the back (LPS), ours right and to the front (RAS).
TO_ITK = np.array([-1.0, -1.0, 1.0])


def residual_of(patient: Path, truth: Path) -> NDArray[np.float64]:
    """The error of registration as an affine map of template mm (4 × 4), by least squares; the
    identity if registration is right.

    ``patient`` is the folder of a preprocessed phantom, ``truth`` its ``truth.json``.
    """
    mask, affine = load_volume(patient / "brain.nii.gz")
    points = np.argwhere(mask > 0)[::EVERY] @ affine[:3, :3].T + affine[:3, 3]
    transform = sitk.ReadTransform(str(patient / "to_template.tfm"))
    in_head = np.array([transform.TransformPoint((p * TO_ITK).tolist()) for p in points]) * TO_ITK
    known = np.array(read_json(truth)["to_template"])
    belongs = in_head @ known[:3, :3].T + known[:3, 3]
    solution = np.linalg.lstsq(np.c_[points, np.ones(len(points))], belongs, rcond=None)[0]
    # About the brain's centre, so that a rotation does not shift it.
    matrix, centre = np.eye(4), points.mean(0)
    matrix[:3, :3] = solution[:3].T
    matrix[:3, 3] = belongs.mean(0) - centre
    return matrix


def parameters(residual: NDArray[np.float64]) -> dict[str, float]:
    """Rotation in degrees about each axis, scale minus 1 along each axis, shear, and shift in mm of
    a residual (4 × 4)."""
    turn, stretch = polar(residual[:3, :3])
    degrees = Rotation.from_matrix(turn).as_rotvec(degrees=True)
    values = {f"turn_{axis}_deg": v for axis, v in zip("xyz", degrees, strict=True)}
    values |= {f"scale_{axis}": stretch[i, i] - 1 for i, axis in enumerate("xyz")}
    values |= {"shear_xy": stretch[0, 1], "shear_xz": stretch[0, 2], "shear_yz": stretch[1, 2]}
    return values | {f"shift_{a}_mm": v for a, v in zip("xyz", residual[:3, 3], strict=True)}


def measure(results: Path) -> pd.DataFrame:
    """One row per phantom of a run. Raises ``UserError`` if there are none."""
    truths = sorted((results / "cohort" / "phantoms").glob("*/truth.json"))
    truths = [t for t in truths if (results / "preprocess" / t.parent.name).is_dir()]
    if not truths:
        raise UserError(f"{results}: has no preprocessed phantoms; use the results of make demo")
    rows = {
        t.parent.name: parameters(residual_of(results / "preprocess" / t.parent.name, t))
        for t in truths
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    table = measure(parser.parse_args().results)
    print(f"Standard deviations over {len(table)} phantoms:")
    print(table.std(ddof=0).round(4).to_string())


if __name__ == "__main__":
    main()
