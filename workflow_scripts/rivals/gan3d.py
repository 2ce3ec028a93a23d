"""A 3-D GAN that generates image and label together."""

import math
from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution, UpSample
from torch import Tensor, nn

from workflow_scripts.common.device import autocast
from workflow_scripts.rivals.gan3d_train import GAN3DTraining
from workflow_scripts.rivals.settings import GAN3DSettings


class GAN3D(nn.Module):
    """The generator: from a vector of standard normal noise to a whole volume.

    A linear layer gives the lowest resolution, which is doubled by linear interpolation between
    successive widths. A final sigmoid gives values from 0 to 1. Unconditional.
    """

    def __init__(
        self, settings: GAN3DSettings, modalities: int, masks: int, shape: Sequence[int]
    ) -> None:
        super().__init__()
        self.settings, self.channels = settings, modalities + masks
        first, *others = settings.widths
        self.start = (first, *(n // 2 ** len(others) for n in shape))
        self.linear = nn.Linear(settings.noise, math.prod(self.start))
        layers: list[nn.Module] = []
        before = first
        for width in others:
            layers += [
                self._convolution(before, width),
                UpSample(3, width, mode="nontrainable", align_corners=False),
                self._convolution(width, width),
            ]
            before = width
        last = Convolution(3, before, self.channels, conv_only=True)
        self.layers = nn.Sequential(*layers, last, nn.Sigmoid())

    def _convolution(self, before: int, after: int) -> Convolution:
        norm = ("group", {"num_groups": self.settings.norm_groups})
        act = ("leakyrelu", {"negative_slope": 0.2})
        return Convolution(3, before, after, norm=norm, act=act, adn_ordering="NA")

    def forward(self, noise: Tensor) -> Tensor:
        """Volumes (B, C, X, Y, Z) from noise (B, N)."""
        return self.layers(self.linear(noise).unflatten(1, self.start))

    def make_training(self, validation_volumes: list[Tensor], seed: int) -> GAN3DTraining:
        """Its training with a fixed number of steps: a GAN's loss does not show when to stop, so
        the validation patients are not used."""
        return GAN3DTraining(self, self.settings, seed)

    @torch.inference_mode()
    def sample(self, random: torch.Generator) -> Tensor:
        """A volume (C, X, Y, Z)."""
        target = self.linear.weight.device
        noise = torch.randn(1, self.settings.noise, generator=random).to(target)
        with autocast(self.settings.precision, target):
            return self(noise)[0].float()
