"""Small patients with one bright ellipsoid each, and settings for a network of a few weights."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import save_patient
from workflow_scripts.segmentation.settings import SegmentationSection, SegmentationSettings

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid((32, 32, 16), (4.0, 4.0, 6.0))


def ellipsoid(centre, radii) -> np.ndarray:
    places = np.stack(np.indices(GRID.shape), -1)
    return (((places - np.array(centre)) / np.array(radii)) ** 2).sum(-1) < 1


def write_patient(folder: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    brain = ellipsoid((15.5, 15.5, 7.5), (13, 14, 7))
    tumour = ellipsoid(rng.uniform((10, 10, 5), (21, 21, 10)), rng.uniform((4, 4, 2), (6, 6, 4)))
    label = np.zeros(GRID.shape, np.uint8)
    label[tumour & brain] = rng.choice([1, 2, 3], int((tumour & brain).sum()))
    image = 0.4 + 0.35 * (tumour & brain) + rng.normal(0, 0.04, (2, *GRID.shape))
    save_patient(folder, image.clip(0, 1) * brain, label, brain, GRID.affine)
    return folder


@pytest.fixture(scope="session")
def patients(tmp_path_factory) -> list[Path]:
    """Folders of six patients."""
    folder = tmp_path_factory.mktemp("patients")
    return [write_patient(folder / f"p{k}", k) for k in range(6)]


@pytest.fixture(scope="session")
def grid() -> Grid:
    """The patients' grid."""
    return GRID


@pytest.fixture
def settings():
    """Settings of the segmentation: those of config.yaml, made small; overridden by keywords."""

    def make(**changes) -> SegmentationSettings:
        values = yaml.safe_load((ROOT / "config.yaml").read_text())["segmentation"]
        small = {"widths": [4, 8, 8], "stem": 2, "steps": 6, "validations": 2, "precision": "fp32"}
        section = SegmentationSection.model_validate({**values, **small, **changes})
        return SegmentationSettings.model_validate(section.part(SegmentationSettings))

    return make
