"""What a bundle of a segmentation network needs beside MONAI's own transforms."""

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.common.masks import foreground
from workflow_scripts.segmentation.volumes import masks_to_classes


class Standardise:
    """A preprocessed image (M, X, Y, Z), 0 to 1, as the network learned to see it: mean 0 and
    standard deviation 1 of each modality in the foreground, 0 outside it."""

    def __call__(self, image: Tensor) -> Tensor:
        """The standardised image."""
        # Stored patients, whose statistics the network learned with, are of half precision.
        values = np.asarray(image, dtype=np.float32).astype(np.float16).astype(np.float64)
        inside = foreground(np.asarray(image, dtype=np.float32))
        within = values[:, inside]
        scale = np.maximum(within.std(1), 1e-3)[:, None, None, None]
        standardised = (values - within.mean(1)[:, None, None, None]) / scale * inside
        image = image.clone()
        image[:] = torch.from_numpy(standardised.astype(np.float32))
        return image


class ToClasses:
    """Logits (R, X, Y, Z) of the regions to a label map (1, X, Y, Z)."""

    def __init__(self, labels: str) -> None:
        self.labels = labels

    def __call__(self, logits: Tensor) -> Tensor:
        """Class values, with what else the tensor carries, such as its affine."""
        classes = masks_to_classes(np.asarray(logits.cpu()) > 0, self.labels)
        class_map = logits[:1].clone()
        class_map[:] = torch.from_numpy(classes.astype(np.float32))
        return class_map
