"""TumorCP: pastes the augmented tumour of the donor at a random position in the target's brain."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from workflow_scripts.segmentation.mixing.volume import Volume

# Augmentation of the tumour before it is pasted, each with probability ``CHANGED``: the largest
# rotation about each axis, magnification, and the largest change of brightness (in standard
# deviations of the image) and of contrast.
TURN_DEG = 180.0
SCALE = (0.75, 1.25)
BRIGHTNESS, CONTRAST = 0.2, 0.2
CHANGED = 0.5
# Smoothing of the seam, standard deviation in voxels.
BLEND = 0.7
# Positions to try, and the share of the tumour that must lie in the brain.
PLACES = 10
INSIDE = 0.9


class TumorCP:
    """Copies the donor's tumour, rotated, scaled, mirrored and with changed contrast, to a random
    position in the target's brain (after Yang et al. 2021, arXiv 2107.09843).

    Differences from the paper: brightness and contrast in place of gamma and blur, no elastic
    deformation, always another patient as donor, and a soft seam. The position is the first of
    ``PLACES`` random ones with a share ``INSIDE`` of the tumour in the brain, or the best of them.
    Parts outside the brain are cut off. The target's own tumour stays, below the pasted one.
    Without a tumour in the donor's block the target is unchanged.
    """

    around_tumour: ClassVar[bool] = True

    def __init__(self, spacing_mm: tuple[float, float, float]) -> None:
        self.spacing_mm = np.array(spacing_mm)

    def __call__(self, target: Volume, donor: Volume, rng: np.random.Generator) -> Volume:
        if not (donor.label > 0).any() or not target.brain.any():
            return target
        image, label = self._changed(donor, rng)
        shift = self._place(label > 0, target.brain, rng)
        label = moved(label, shift) * target.brain
        image = np.stack([moved(modality, shift) for modality in image])
        tumour = label > 0
        # Soft at the seam; the label is pasted where the mask exceeds one half.
        share = np.maximum(ndimage.gaussian_filter(tumour.astype(np.float32), BLEND), 0)
        share = np.where(tumour, np.maximum(share, 0.5), np.minimum(share, 0.5)) * target.brain
        return Volume(
            (share * image + (1 - share) * target.image).astype(np.float32),
            np.where(tumour, label, target.label).astype(np.uint8),
            target.brain,
        )

    def _changed(
        self, donor: Volume, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Augmented image (M, X, Y, Z) and label (X, Y, Z) of the donor around its tumour's
        centroid."""
        angles = rng.uniform(-TURN_DEG, TURN_DEG, 3) * (rng.random() < CHANGED)
        scale = rng.uniform(*SCALE) if rng.random() < CHANGED else 1.0
        mirror = np.where(rng.random(3) < CHANGED, -1.0, 1.0)
        turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(mirror)
        # A rotation in millimetres, from voxels to voxels.
        matrix = turn * self.spacing_mm / self.spacing_mm[:, None] / scale
        centroid = np.argwhere(donor.label > 0).mean(0)
        offset = centroid - matrix @ centroid
        label = ndimage.affine_transform(donor.label, matrix, offset, order=0)
        if not label.any():  # a tumour of one or two voxels may vanish
            return donor.image, donor.label
        image = np.stack(
            [ndimage.affine_transform(m, matrix, offset, order=1) for m in donor.image]
        )
        for modality in image:
            mean = modality[label > 0].mean()
            gain = 1 + rng.uniform(-CONTRAST, CONTRAST) * (rng.random() < CHANGED)
            shift = rng.uniform(-BRIGHTNESS, BRIGHTNESS) * (rng.random() < CHANGED)
            modality[:] = (modality - mean) * gain + mean + shift
        return image, label

    def _place(
        self, tumour: NDArray[np.bool_], brain: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Shift in voxels that moves the tumour's centroid to a position in the brain."""
        voxels, inside = np.argwhere(tumour), np.argwhere(brain)
        centroid = voxels.mean(0).round().astype(int)
        best, most = np.zeros(3, np.int64), -1.0
        for middle in inside[rng.integers(len(inside), size=PLACES)]:
            shift = middle - centroid
            at = voxels + shift
            within = np.all((at >= 0) & (at < brain.shape), axis=1)
            share = brain[tuple(at[within].T)].sum() / len(voxels)
            if share > most:
                best, most = shift, share
            if share >= INSIDE:
                break
        return best


def moved(array: NDArray, shift: NDArray[np.int64]) -> NDArray:
    """An array (X, Y, Z) shifted by whole voxels, filled with 0."""
    result = np.zeros_like(array)
    source, goal = [], []
    for by, size in zip(shift, array.shape, strict=True):
        source.append(slice(max(0, -by), min(size, size - by)))
        goal.append(slice(max(0, by), min(size, size + by)))
    result[tuple(goal)] = array[tuple(source)]
    return result
