"""Patients as inputs of the rivals: one volume of modalities and soft nested masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from workflow_scripts.autoencoder.encode_patients import unchanged, warped_copy
from workflow_scripts.autoencoder.settings import WarpSettings
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import from_nested, nested_masks
from workflow_scripts.common.masks import foreground
from workflow_scripts.common.patients import Patient

# Number of nested masks by region set: whole tumour; with subregions also core and necrosis.
MASKS = {"whole_tumour": 1, "subregions": 3}
# Standard deviation, in voxels, of the Gaussian that softens masks: networks output soft masks, and
# a discriminator would recognise real ones by their edges.
SOFT_VOXELS = 0.6


def to_volume(image: NDArray[np.float32], label: NDArray[np.uint8], labels: str) -> Tensor:
    """A volume (C, X, Y, Z), 0 to 1, of an image (M, X, Y, Z) and canonical labels (X, Y, Z)."""
    masks = nested_masks(label)[: MASKS[labels]].astype(np.float32)
    soft = [ndimage.gaussian_filter(mask, SOFT_VOXELS) for mask in masks]
    return torch.from_numpy(np.concatenate([image, np.stack(soft)]).clip(0, 1))


def from_volume(
    volume: Tensor, labels: str
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Image (M, X, Y, Z), canonical labels (X, Y, Z) and foreground (X, Y, Z) of a volume.

    A voxel is in a region if the region's mask and the enclosing masks are above one half. Outside
    the foreground, image and label are 0.
    """
    array, count = volume.float().cpu().numpy().clip(0, 1), MASKS[labels]
    image, masks = array[:-count], np.zeros((3, *array.shape[1:]), bool)
    masks[:count] = np.logical_and.accumulate(array[-count:] > 0.5)
    inside = foreground(image)
    return image * inside, from_nested(masks) * inside, inside


def read_volume(folder: str | Path, labels: str) -> Tensor:
    """The volume (C, X, Y, Z) of a patient's folder."""
    patient = Patient(folder)
    return to_volume(patient.image(), patient.label(), labels)


class VolumeBatches:
    """``batches(step)`` returns warped copies of training patients, a tuple of one tensor
    (B, C, X, Y, Z).

    All patients are used in turn, in a new order each time. Every sample has its own warp, as for
    the slice generator (``autoencoder.warp``). Batches depend on the seed and the step only.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        labels: str,
        batch: int,
        grid: Grid,
        warp: WarpSettings,
        seed: int,
    ) -> None:
        self.patients = [Patient(folder) for folder in folders]
        self.labels, self.batch, self.seed = labels, batch, seed
        self.grid, self.warp = grid, warp

    def __call__(self, step: int) -> tuple[Tensor]:
        samples = [self.sample(step * self.batch + k) for k in range(self.batch)]
        return (torch.stack(samples),)

    def sample(self, number: int) -> Tensor:
        """The n-th volume (C, X, Y, Z) of the whole training, counted from 0."""
        turn, position = divmod(number, len(self.patients))
        order = np.random.default_rng([self.seed, turn]).permutation(len(self.patients))
        patient = unchanged(self.patients[order[position]], self.grid)
        warped = warped_copy(patient, self.grid, self.warp, [self.seed, number])
        return to_volume(warped.image, warped.label, self.labels)
