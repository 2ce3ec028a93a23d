"""Classical augmentation with nnU-Net's recipe; it depends on the seed only.

Isensee et al. 2021 (doi:10.1038/s41592-020-01008-z), supplementary note 4, in that order: rotation
and scaling, noise, blur, brightness, contrast, low resolution, gamma, mirroring. Like nnU-Net 2, it
has no elastic deformation.
"""

import numpy as np
import torch
from monai.transforms import (
    Affine,
    Compose,
    RandAdjustContrast,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleIntensity,
    RandScaleIntensityFixedMean,
    RandSimulateLowResolution,
)
from monai.transforms.utils import create_rotate, create_scale
from torch import Tensor

from workflow_scripts.segmentation.settings import ClassicalSettings


def intensity_transforms(settings: ClassicalSettings) -> Compose:
    """Random changes of one modality (1, X, Y, Z), with nnU-Net's ranges."""
    smooth = dict.fromkeys(("sigma_x", "sigma_y", "sigma_z"), (0.5, 1.0))
    return Compose(
        [
            RandGaussianNoise(prob=settings.noise, mean=0.0, std=0.316),
            RandGaussianSmooth(prob=settings.blur, **smooth),
            RandScaleIntensity(factors=(-0.25, 0.25), prob=settings.brightness),
            RandScaleIntensityFixedMean(
                prob=settings.contrast, factors=(-0.25, 0.25), preserve_range=True
            ),
            RandSimulateLowResolution(prob=settings.low_resolution, zoom_range=(0.5, 1.0)),
            RandAdjustContrast(
                prob=settings.gamma / 3, gamma=(0.7, 1.5), invert_image=True, retain_stats=True
            ),
            RandAdjustContrast(prob=settings.gamma, gamma=(0.7, 1.5), retain_stats=True),
        ]
    )


class ClassicalAugmentation:
    """Rotates, scales and mirrors a sample, and changes its contrast; reproducible by its seed."""

    def __init__(self, settings: ClassicalSettings, spacing_mm: tuple[float, float, float]) -> None:
        """``spacing_mm`` is the voxel size: rotations are computed in millimetres."""
        self.settings, self.sides = settings, np.array([*spacing_mm, 1.0]) / min(spacing_mm)
        self.intensity = intensity_transforms(settings)

    @property
    def margin(self) -> float:
        """Ratio of block size to patch size that fills the patch in most rotations."""
        return 1.25 if self.settings.spatial > 0 else 1.0

    def __call__(
        self, image: Tensor, label: Tensor, brain: Tensor, size: tuple[int, ...], seed: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Image (M, …) and label (…) of the middle ``size`` voxels, after augmentation.

        ``image`` is standardised, ``label`` has integers and gets no new values; everything outside
        ``brain`` (…) stays 0.
        """
        rng = np.random.default_rng(seed)
        maps = torch.stack([label, brain]).float()
        image, maps = self._move(image, maps, size, rng)
        label, brain = maps[0].round().to(label.dtype), maps[1] > 0.5
        changed = []
        for modality in image:
            self.intensity.set_random_state(seed=int(rng.integers(2**31)))
            changed.append(torch.as_tensor(self.intensity(modality[None])))
        axes = [axis for axis in range(3) if rng.random() < self.settings.mirror]
        image = torch.cat(changed) * brain
        return image.flip([axis + 1 for axis in axes]), label.flip(axes)

    def _move(
        self, image: Tensor, maps: Tensor, size: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        largest = np.deg2rad(self.settings.rotation_deg)
        turn = rng.uniform(-largest, largest, 3) * (rng.random() < self.settings.spatial)
        zoom = np.exp(rng.uniform(*np.log(self.settings.scale)))
        if rng.random() >= self.settings.spatial:
            zoom = 1.0
        if not turn.any() and zoom == 1.0 and tuple(image.shape[1:]) == tuple(size):
            return image, maps
        # Affine transforms the sampling grid, so magnification needs a smaller grid.
        turned = create_rotate(3, turn) * self.sides / self.sides[:, None]
        options = {
            "affine": turned @ create_scale(3, (1 / float(zoom),) * 3),
            "spatial_size": tuple(size),
            "padding_mode": "zeros",
            "image_only": True,
        }
        image = Affine(mode="bilinear", **options)(image)
        maps = Affine(mode="nearest", **options)(maps)
        return torch.as_tensor(image), torch.as_tensor(maps)
