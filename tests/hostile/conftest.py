"""A small cohort of two patients, of whom one is spoilt."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from workflow_scripts.cohort.inspection import inspect_cases
from workflow_scripts.cohort.table import table_cases
from workflow_scripts.common.nifti import save_nifti

MODALITIES = ["flair", "t1ce"]
SHAPE = (12, 10, 8)
AFFINE = np.array([[-1.0, 0, 0, 6], [0, -1.0, 0, 20], [0, 0, 2.0, -5], [0, 0, 0, 1]])
# Ten voxels of 2 mm³.
TUMOUR_ML = 0.02


def image_of(seed: int) -> np.ndarray:
    """An image (X, Y, Z) whose values are no other seed's."""
    return np.random.default_rng(seed).integers(1, 4000, SHAPE).astype(np.int16)


def label_of() -> np.ndarray:
    """A label map (X, Y, Z) with a tumour of ten voxels."""
    label = np.zeros(SHAPE, np.uint8)
    label[2, :5, 3:5] = 1
    return label


def rotation(axis: str, degrees: float) -> np.ndarray:
    """A rotation (4 × 4) about an axis through the origin."""
    a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    angle, matrix = np.deg2rad(degrees), np.eye(4)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


class Cohort:
    """Two patients in folders of their own, ``good`` and ``odd``, and the table that names them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows = []
        for number, name in enumerate(("good", "odd")):
            for k, modality in enumerate(MODALITIES):
                save_nifti(image_of(2 * number + k), AFFINE, root / name / f"{modality}.nii.gz")
            save_nifti(label_of(), AFFINE, root / name / "label.nii.gz")
            files = {kind: f"{name}/{kind}.nii.gz" for kind in (*MODALITIES, "label")}
            self.rows.append({"patient_id": name, **files})
        self.odd = self.rows[1]

    def file(self, kind: str) -> Path:
        """A file of the patient that is spoilt."""
        return self.root / self.odd[kind]

    def replace(self, kind: str, image: nib.spatialimages.SpatialImage, name: str = "") -> None:
        """Save an image in place of a file of the patient that is spoilt."""
        self.odd[kind] = f"odd/{name or kind + '.nii.gz'}"
        nib.save(image, self.file(kind))

    def inspect(self, scheme: str = "brats2015", **how) -> pd.DataFrame:
        """What ``inspect_cases`` makes of the table."""
        table = self.root / "cohort.tsv"
        pd.DataFrame(self.rows).to_csv(table, sep="\t", index=False)
        return inspect_cases(table_cases(table, None, scheme, MODALITIES), scheme, "stop", **how)[0]


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    return Cohort(tmp_path)
