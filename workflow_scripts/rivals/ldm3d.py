"""A 3-D latent diffusion model that generates image and label together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workflow_scripts.common.device import autocast
from workflow_scripts.diffusion.process import Process
from workflow_scripts.rivals.ldm3d_networks import (
    LATENT_CHANNELS,
    SCHEDULE,
    build_autoencoder,
    build_denoiser,
    sample_latent,
)
from workflow_scripts.rivals.ldm3d_train import LDM3DTraining
from workflow_scripts.rivals.settings import DOWN, LDM3DSettings


class LDM3D(nn.Module):
    """A 3-D autoencoder of whole volumes and a denoiser of its latents, as in MONAI's example
    (``ldm3d_networks.py``). Unconditional."""

    def __init__(
        self, settings: LDM3DSettings, modalities: int, masks: int, shape: Sequence[int]
    ) -> None:
        super().__init__()
        self.settings, self.masks, self.process = settings, masks, Process(SCHEDULE)
        self.latent_shape = (LATENT_CHANNELS, *(n // DOWN for n in shape))
        groups = settings.norm_groups
        channels = modalities + masks
        self.autoencoder = build_autoencoder(channels, settings.autoencoder_widths, groups)
        self.denoiser = build_denoiser(settings.denoiser_widths, groups)
        # Scales latents to unit variance; 1 until the autoencoder is trained.
        self.register_buffer("scale", torch.ones(()))

    def encode(self, volumes: Tensor) -> Tensor:
        """Scaled mean latents (B, c, x, y, z) of volumes (B, C, X, Y, Z)."""
        return self.scale * self.autoencoder.encode(volumes)[0].float()

    def make_training(self, validation_volumes: list[Tensor], seed: int) -> LDM3DTraining:
        """Its training, which selects the weights with the lowest loss on the validation
        patients."""
        return LDM3DTraining(self, self.settings, validation_volumes, seed)

    @torch.inference_mode()
    def sample(self, random: torch.Generator) -> Tensor:
        """A volume (C, X, Y, Z)."""
        settings = self.settings
        latent = sample_latent(
            self.denoiser, self.process, self.latent_shape, settings.sampling_steps,
            settings.precision, random,
        )  # fmt: skip
        with autocast(settings.precision, self.scale.device):
            return self.autoencoder.decode(latent / self.scale)[0].float()
