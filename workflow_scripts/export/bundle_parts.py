"""Transforms for the bundle of a segmentation network that MONAI lacks."""

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.common.masks import foreground
from workflow_scripts.segmentation.blocks import masks_to_classes


class Standardise:
    """Standardises a preprocessed image (M, X, Y, Z), 0 to 1, as in training: mean 0 and standard
    deviation 1 of each modality in the foreground, 0 outside it."""

    def __call__(self, image: Tensor) -> Tensor:
        """The standardised image."""
        # Patients are stored in half precision, with which training computed the statistics.
        values = np.asarray(image, dtype=np.float32).astype(np.float16).astype(np.float64)
        inside = foreground(np.asarray(image, dtype=np.float32))
        within = values[:, inside]
        scale = np.maximum(within.std(1), 1e-3)[:, None, None, None]
        standardised = (values - within.mean(1)[:, None, None, None]) / scale * inside
        image = image.clone()
        image[:] = torch.from_numpy(standardised.astype(np.float32))
        return image


class ToClasses:
    """Converts logits (R, X, Y, Z) of the regions to a label map (1, X, Y, Z)."""

    def __init__(self, labels: str) -> None:
        self.labels = labels

    def __call__(self, logits: Tensor) -> Tensor:
        """Class values, with the tensor's metadata such as its affine."""
        classes = masks_to_classes(np.asarray(logits.cpu()) > 0, self.labels)
        class_map = logits[:1].clone()
        class_map[:] = torch.from_numpy(classes.astype(np.float32))
        return class_map
