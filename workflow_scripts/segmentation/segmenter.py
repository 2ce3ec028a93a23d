"""A trained segmentation network, applied to whole patients."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from numpy.typing import NDArray
from torch import nn

from workflow_scripts.common.device import autocast, device
from workflow_scripts.common.files import UserError
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import regions
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.weights import load_config, load_weights, settings_of
from workflow_scripts.segmentation.blocks import masks_to_classes, whole
from workflow_scripts.segmentation.model import SegmentationNetwork
from workflow_scripts.segmentation.settings import SegmentationSettings


def network_of(settings: SegmentationSettings, modalities: list[str], labels: str) -> nn.Module:
    """Build the network of a configuration."""
    return SegmentationNetwork(
        len(modalities), len(regions(labels)), settings.stem, settings.widths
    )


@torch.inference_mode()
def predict_masks(
    network: nn.Module, image: NDArray[np.float32], settings: SegmentationSettings
) -> NDArray[np.bool_]:
    """Region masks (R, X, Y, Z) of a standardised image (M, X, Y, Z), patch by patch."""
    torch_device = next(network.parameters()).device
    size = settings.patch or image.shape[1:]
    inferer = SlidingWindowInferer(
        roi_size=size, sw_batch_size=1, overlap=settings.overlap, mode="gaussian"
    )
    volume = torch.from_numpy(image)[None].to(torch_device)
    with autocast(settings.precision, torch_device):
        logits = inferer(volume, lambda patch: network(patch).float())
    return (logits[0] > 0).cpu().numpy()


@dataclass(frozen=True)
class Segmenter:
    """Predicts class values of patients; loaded from a model folder."""

    network: nn.Module
    settings: SegmentationSettings
    modalities: list[str]
    labels: str
    grid: Grid

    @classmethod
    def load(cls, folder: str | Path) -> "Segmenter":
        """Load a model folder of ``train_segmentation``, onto the GPU if there is one."""
        config = load_config(folder)
        settings = settings_of(config, SegmentationSettings, folder)
        network = network_of(settings, config["modalities"], config["labels"])
        load_weights(folder, network)
        network.eval().requires_grad_(False).to(device())
        grid = Grid.from_settings(config["grid"])
        return cls(network, settings, config["modalities"], config["labels"], grid)

    def predict(self, patient: Patient) -> NDArray[np.uint8]:
        """Class values (X, Y, Z) of a patient on the model's grid.

        Raises ``UserError`` for a patient of another grid or with other modalities.
        """
        image, _, _ = whole(patient)
        if image.shape != (expected := (len(self.modalities), *self.grid.shape)):
            raise UserError(
                f"{patient.folder}: image is {image.shape}, but this model expects {expected} "
                f"({', '.join(self.modalities)}); preprocess it with the model's configuration"
            )
        return masks_to_classes(predict_masks(self.network, image, self.settings), self.labels)
