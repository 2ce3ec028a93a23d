"""A preprocessed, reconstructed or synthetic patient on disk."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import staged
from workflow_scripts.common.masks import foreground
from workflow_scripts.common.nifti import save_nifti

ARRAYS = ("image", "label", "brain", "foreground")


class Patient:
    """One patient's folder: ``image.npy``, ``label.npy``, ``brain.npy`` and ``foreground.npy``,
    slice by slice; ``tissue.npy`` of preprocessed patients.

    The arrays are memory-mapped, so that single slices can be read. Each is mapped only while it is
    in use: a mapped file counts as memory and as an open file, and a cohort has more patients than
    a process may open files.
    """

    def __init__(self, folder: str | Path, mirrored: bool = False) -> None:
        """``mirrored`` swaps left and right by reversing the voxels along x."""
        self.folder, self.mirrored = Path(folder), mirrored
        self.patient_id = self.folder.name

    def _map(self, name: str) -> NDArray:
        array = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return array[..., ::-1, :] if self.mirrored else array

    @property
    def slices(self) -> NDArray[np.float16]:
        """Normalised axial slices (Z, M, X, Y), mapped."""
        return self._map("image")

    @property
    def label_slices(self) -> NDArray[np.uint8]:
        """Canonical labels of the axial slices (Z, X, Y), mapped."""
        return self._map("label")

    @property
    def brain_slices(self) -> NDArray[np.uint8]:
        """Brain mask of the axial slices (Z, X, Y), mapped."""
        return self._map("brain")

    @property
    def foreground_slices(self) -> NDArray[np.uint8]:
        """Foreground (``masks.foreground``) of the axial slices (Z, X, Y), mapped."""
        return self._map("foreground")

    def image(self) -> NDArray[np.float32]:
        """The volume of each modality (M, X, Y, Z), 0 to 1 inside the brain, 0 outside."""
        return np.ascontiguousarray(self.slices.transpose(1, 2, 3, 0), dtype=np.float32)

    def label(self) -> NDArray[np.uint8]:
        """Canonical label map (X, Y, Z)."""
        return np.ascontiguousarray(self.label_slices.transpose(1, 2, 0))

    def brain(self) -> NDArray[np.bool_]:
        """Brain mask (X, Y, Z)."""
        return np.ascontiguousarray(self.brain_slices.transpose(1, 2, 0)) > 0

    def foreground(self) -> NDArray[np.bool_]:
        """Foreground (X, Y, Z)."""
        return np.ascontiguousarray(self.foreground_slices.transpose(1, 2, 0)) > 0

    def tissue(self) -> NDArray[np.float32]:
        """Tissue maps (3, X, Y, Z) of a preprocessed patient: fractions of grey matter, white
        matter and CSF, without the tumour."""
        maps = np.asarray(self._map("tissue"), dtype=np.float32).transpose(1, 2, 3, 0)
        return np.ascontiguousarray(maps) / 255


def patient_folders(directory: str | Path) -> list[Path]:
    """Patients' folders in a directory, sorted by name."""
    return [folder for folder in sorted(Path(directory).iterdir()) if folder.is_dir()]


def save_patient(
    folder: str | Path,
    image: NDArray,
    label: NDArray,
    brain: NDArray,
    affine: NDArray,
    modalities: list[str] | None = None,
) -> None:
    """Write a patient's folder from volumes: image (M, X, Y, Z), label and brain (X, Y, Z).

    With ``modalities``, the volumes are also written as NIfTI, with ``affine`` (4 × 4).
    """
    folder = Path(folder)
    masks = (label, brain, foreground(image))
    arrays = [
        np.ascontiguousarray(image.transpose(3, 0, 1, 2), dtype=np.float16),
        *(np.ascontiguousarray(mask.transpose(2, 0, 1), dtype=np.uint8) for mask in masks),
    ]
    for name, array in zip(ARRAYS, arrays, strict=True):
        with staged(folder / f"{name}.npy") as temporary:
            np.save(temporary, array)
    if modalities is None:
        return
    for volume, modality in zip(image, modalities, strict=True):
        save_nifti(volume, affine, folder / f"{modality}.nii.gz", np.float32)
    save_nifti(label, affine, folder / "label.nii.gz", np.uint8)
    save_nifti(brain, affine, folder / "brain.nii.gz", np.uint8)


def steps_of(tissue: NDArray) -> NDArray[np.uint8]:
    """Tissue maps, 0 to 1, in steps of 1 / 255, as they are stored."""
    return (tissue * 255).round().astype(np.uint8)


def save_tissue(folder: str | Path, tissue: NDArray) -> None:
    """Write tissue maps (3, X, Y, Z), 0 to 1, into a patient's folder, in steps of 1 / 255."""
    slices = np.ascontiguousarray(steps_of(tissue).transpose(3, 0, 1, 2))
    with staged(Path(folder) / "tissue.npy") as temporary:
        np.save(temporary, slices)
