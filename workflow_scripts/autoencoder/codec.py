"""A trained autoencoder that encodes and decodes whole patients."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.autoencoder.model import SliceAutoencoder, slice_positions
from workflow_scripts.autoencoder.settings import AutoencoderConfig, AutoencoderSettings
from workflow_scripts.common.device import autocast, device
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import class_count, collapse
from workflow_scripts.common.masks import foreground
from workflow_scripts.common.weights import load_config, load_weights, settings_of

# Pixels that are encoded or decoded at once: some 1 GB with the largest networks.
PIXELS_AT_ONCE = {"cpu": 200_000, "cuda": 1_600_000}


def build_model(
    settings: AutoencoderSettings, modalities: list[str], labels: str
) -> SliceAutoencoder:
    """Build the network of a configuration."""
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
    precision: str = "fp32"

    @classmethod
    def load(cls, folder: str | Path) -> "Codec":
        """Load a model folder written by ``train_autoencoder``, onto the GPU if there is one."""
        config = load_config(folder, AutoencoderConfig)
        settings = settings_of(config, AutoencoderSettings, folder)
        model = build_model(settings, config["modalities"], config["labels"])
        load_weights(folder, model)
        model.eval().requires_grad_(False).to(device())
        grid = Grid.from_settings(config["grid"])
        labels, scale = config["labels"], config["latent_scale"]
        return cls(model, config["modalities"], labels, grid, scale, settings.precision)

    def encode(self, image: NDArray, label: NDArray) -> NDArray[np.float32]:
        """Mean latents, scaled to unit variance, (C, X/d, Y/d, Z) of one patient.

        ``image`` is (M, X, Y, Z), ``label`` the canonical map (X, Y, Z).
        """
        slices, classes = image.transpose(3, 0, 1, 2), collapse(label, self.labels)
        means = encode_slices(self.model, slices, classes.transpose(2, 0, 1), self.precision)
        return np.concatenate(list(means)).transpose(1, 2, 3, 0) * np.float32(self.scale)

    def decode(self, latent: NDArray) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray]:
        """Image (M, X, Y, Z), class labels (X, Y, Z) and foreground of scaled latents.

        Everything outside the foreground is set to 0.
        """
        return cut_out(*self.decode_uncut(latent))

    @torch.inference_mode()
    def decode_uncut(self, latent: NDArray) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Image (M, X, Y, Z) and class labels (X, Y, Z) of scaled latents, as decoded by the
        network: with noise outside the foreground, and all pieces of a torn brain."""
        torch_device = next(self.model.parameters()).device
        stack = torch.from_numpy(latent / np.float32(self.scale)).permute(3, 0, 1, 2)
        positions = slice_positions(len(stack))
        images, labels = [], []
        with autocast(self.precision, torch_device):
            for part in slices_at_once(len(stack), self.grid.shape[:2], torch_device):
                inputs = stack[part].contiguous().to(torch_device), positions[part].to(torch_device)
                image, logits = self.model.decode(*inputs)
                images.append(image.float().cpu())
                labels.append(logits.argmax(1).cpu())
        image = torch.cat(images).permute(1, 2, 3, 0).numpy().clip(0, 1)
        label = torch.cat(labels).permute(1, 2, 0).numpy().astype(np.uint8)
        return image, label


def cut_out(
    image: NDArray[np.float32], label: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Image (M, X, Y, Z) and label (X, Y, Z) of decoded volumes, 0 outside the foreground, and the
    foreground (X, Y, Z)."""
    brain = foreground(image)
    return image * brain, label * brain, brain


def slices_at_once(count: int, size: tuple[int, ...], torch_device: torch.device) -> list[slice]:
    """Split a stack of ``count`` slices of ``size`` pixels into parts that fit into memory."""
    step = max(1, PIXELS_AT_ONCE[torch_device.type] // int(np.prod(size)))
    return [slice(first, first + step) for first in range(0, count, step)]


@torch.inference_mode()
def encode_slices(
    model: SliceAutoencoder, slices: NDArray, classes: NDArray, precision: str
) -> Iterator[NDArray[np.float32]]:
    """Unscaled mean latents (n, C, X/d, Y/d) of a patient's slices (Z, M, X, Y) with their class
    values (Z, X, Y), part by part."""
    torch_device = next(model.parameters()).device
    positions = slice_positions(len(slices))
    for part in slices_at_once(len(slices), slices.shape[2:], torch_device):
        image = torch.from_numpy(np.ascontiguousarray(slices[part], dtype=np.float32)).to(
            torch_device
        )
        label = torch.from_numpy(np.ascontiguousarray(classes[part])).to(torch_device)
        with autocast(precision, torch_device):
            mean, _ = model.encode(image, label, positions[part].to(torch_device))
        yield mean.float().cpu().numpy()
