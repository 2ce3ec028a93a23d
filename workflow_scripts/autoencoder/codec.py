"""A trained autoencoder as a codec of whole patients."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.autoencoder.model import SliceAutoencoder, slice_positions
from workflow_scripts.autoencoder.settings import AutoencoderSettings
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import class_count, collapse
from workflow_scripts.common.weights import load_config, load_weights
from workflow_scripts.preprocess.skull_strip import largest_filled

SLICES_AT_ONCE = 48


def build_model(
    settings: AutoencoderSettings, modalities: list[str], labels: str
) -> SliceAutoencoder:
    """The network that a configuration asks for."""
    return SliceAutoencoder(
        modalities=len(modalities),
        classes=class_count(labels),
        latent_channels=settings.latent_channels,
        widths=settings.widths,
        blocks=settings.blocks,
        norm_groups=settings.norm_groups,
        attention=settings.attention,
        stem=settings.stem,
        position=settings.position,
    )


@dataclass(frozen=True)
class Codec:
    """Patients to stacks of scaled latents (C, X/d, Y/d, Z) and back."""

    model: SliceAutoencoder
    modalities: list[str]
    labels: str
    grid: Grid
    scale: float

    @classmethod
    def load(cls, folder: str | Path) -> "Codec":
        """Load a model folder written by ``train_autoencoder``."""
        config = load_config(folder)
        settings = AutoencoderSettings.model_validate(config["settings"])
        model = build_model(settings, config["modalities"], config["labels"])
        load_weights(folder, model)
        model.eval().requires_grad_(False)
        grid = Grid.from_settings(config["grid"])
        return cls(model, config["modalities"], config["labels"], grid, config["latent_scale"])

    @torch.inference_mode()
    def encode(self, image: NDArray, label: NDArray) -> NDArray[np.float32]:
        """Mean latents, scaled to unit variance, (C, X/d, Y/d, Z) of one patient.

        ``image`` is (M, X, Y, Z), ``label`` the canonical map (X, Y, Z).
        """
        images = torch.from_numpy(image.astype(np.float32)).permute(3, 0, 1, 2)
        classes = torch.from_numpy(collapse(label, self.labels)).permute(2, 0, 1)
        positions = slice_positions(len(images))
        means = [
            self.model.encode(images[part], classes[part], positions[part])[0]
            for part in _parts(len(images))
        ]
        return torch.cat(means).permute(1, 2, 3, 0).numpy() * np.float32(self.scale)

    @torch.inference_mode()
    def decode(self, latent: NDArray) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray]:
        """Image (M, X, Y, Z), class labels (X, Y, Z) and brain mask of scaled latents.

        Everything outside the brain, found in the decoded image, is set to 0.
        """
        stack = torch.from_numpy(latent / np.float32(self.scale)).permute(3, 0, 1, 2)
        positions = slice_positions(len(stack))
        images, labels = [], []
        for part in _parts(len(stack)):
            image, logits = self.model.decode(stack[part].contiguous(), positions[part])
            images.append(image)
            labels.append(logits.argmax(1))
        image = torch.cat(images).permute(1, 2, 3, 0).numpy().clip(0, 1)
        label = torch.cat(labels).permute(1, 2, 0).numpy().astype(np.uint8)
        brain = brain_of(image)
        return image * brain, label * brain, brain


def _parts(count: int) -> list[slice]:
    return [slice(first, first + SLICES_AT_ONCE) for first in range(0, count, SLICES_AT_ONCE)]


def brain_of(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Brain mask (X, Y, Z) of a skull-stripped image (M, X, Y, Z): its largest bright piece.

    Outside the brain preprocessed images are exactly 0; a decoder leaves a little noise there.
    """
    return largest_filled(image.max(0) > 0.08)
