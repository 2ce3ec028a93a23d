"""A patient for export to another framework, with its role."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_scripts.common.labels import collapse
from workflow_scripts.common.nifti import load_volume, save_nifti

SYNTHETIC = "synthetic"
# Roles of patients on which a network may be trained.
LEARNED = ("train", "validation", SYNTHETIC)


@dataclass(frozen=True)
class Case:
    """A patient's folder, and its ``role``: train, validation, test or synthetic."""

    folder: Path
    role: str

    @property
    def name(self) -> str:
        """The patient's name."""
        return self.folder.name

    def volume(self, modality: str) -> Path:
        """Path of a modality's volume (NIfTI)."""
        return self.folder / f"{modality}.nii.gz"


def copy_label(case: Case, labels: str, target: Path) -> None:
    """Write a case's label map with the classes of this run: 0, 1, …"""
    label, affine = load_volume(case.volume("label"))
    target.parent.mkdir(parents=True, exist_ok=True)
    save_nifti(collapse(label.astype(np.uint8), labels), affine, target, np.uint8)
