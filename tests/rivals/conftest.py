"""Settings of networks with a few weights, and small patients with tissue maps."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.common.patients import Patient, save_tissue
from workflow_scripts.rivals.catalogue import RIVALS

SMALL = {
    "gan3d": {"noise": 8, "widths": [16, 16, 8], "discriminator": 8, "batch": 2},
    "ldm3d": {
        "autoencoder_widths": [8, 8, 8],
        "denoiser_widths": [16, 16],
        "autoencoder_steps": 3,
        "validations": 1,
        "sampling_steps": 4,
    },
}


@pytest.fixture
def values(default_values):
    """Settings of a rival: those of config.yaml, made small; overridden by keywords."""

    def make(name: str, **changes) -> dict:
        small = {"steps": 6, "warm_up": 0.0, "precision": "fp32", **SMALL[name]}
        given = {**default_values["rivals"][name], **small, **changes}
        return RIVALS[name][1].model_validate(given).model_dump(mode="json")

    return make


@pytest.fixture(scope="session")
def whole_patients(patients, tmp_path_factory) -> list[Path]:
    """The four small patients, with tissue maps."""
    folder = tmp_path_factory.mktemp("whole")
    for source in patients:
        shutil.copytree(source, folder / source.name)
        brain = Patient(source).brain()
        save_tissue(folder / source.name, np.stack([0.4 * brain, 0.5 * brain, 0.1 * brain]))
    return [folder / source.name for source in patients]
