"""The steps of a 3-D latent diffusion model, as in MONAI's example for BraTS.

Networks and losses are those of the arm ``ldm3d`` (``rivals/ldm3d_networks.py``), with the
example's widths and patch; the label is an additional channel. The precision is that of the
networks with which it is compared.
"""

import torch
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet
from torch import Tensor

from workflow_scripts.bench.timed_step import TimedStep, optimiser_step
from workflow_scripts.common.device import autocast, device
from workflow_scripts.common.labels import class_count
from workflow_scripts.configuration import Config
from workflow_scripts.diffusion.process import Process
from workflow_scripts.rivals.ldm3d_networks import (
    LATENT_CHANNELS,
    SCHEDULE,
    build_autoencoder,
    build_denoiser,
    noise_loss,
    reconstruction_loss,
)
from workflow_scripts.rivals.settings import DOWN

PATCH = (112, 128, 80)
RATE = 5e-6
# Groups of the group normalisation.
GROUPS = 32
# The example samples with DDPM in 1000 steps; here with DDIM and as many steps as the paper.
EVALUATIONS = 50


class VolumeSystem:
    """A 3-D autoencoder and a denoiser of its latents, untrained, on random volumes.

    ``precision`` is that of the system with which it is compared; ``volumes`` is the batch size of
    the denoiser's training.
    """

    evaluations = EVALUATIONS
    autoencoder_widths = (64, 128, 256)
    denoiser_widths = (256, 256, 512)

    def __init__(self, config: Config, precision: str, volumes: int = 1) -> None:
        self.shape, self.precision = tuple(config.grid.shape), precision
        self.volumes = volumes
        self.channels = len(config.modalities) + class_count(config.labels) - 1
        self.latent_shape = (LATENT_CHANNELS, *(n // DOWN for n in self.shape))
        self.process = Process(SCHEDULE)

    def autoencoder_train(self) -> TimedStep:
        """A training step of the autoencoder on a patch, or on the volume if that is smaller."""
        model = self.autoencoder().train()
        adam = torch.optim.Adam(model.parameters(), RATE)
        patch = [min(n, p) for n, p in zip(self.shape, PATCH, strict=True)]
        x = torch.rand(1, self.channels, *patch, device=device())

        slices = x[0, 0].numel() / (self.shape[0] * self.shape[1])
        step = _step(model, adam, lambda: reconstruction_loss(model, x), self.precision)
        return TimedStep(step, slices, "slice", (model,), self.precision)

    def encode(self) -> TimedStep:
        """Latents of a whole volume."""
        model, x = self.autoencoder().eval(), self._volume()
        call = self._inference(lambda: model.encode(x)[0])
        return TimedStep(call, self.shape[2], "slice", (model.encoder,), self.precision)

    def second_stage_train(self) -> TimedStep:
        """A training step of the denoiser on a batch, which the example encodes in each step."""
        autoencoder, x = self.autoencoder().eval(), self._volume(self.volumes)
        denoiser = self.denoiser().train()
        adam = torch.optim.Adam(denoiser.parameters(), RATE)

        def loss() -> Tensor:
            with torch.no_grad():
                latent = autoencoder.encode_stage_2_inputs(x).float()
            return noise_loss(denoiser, self.process, latent, draw_generator(latent.device))

        step = _step(denoiser, adam, loss, self.precision)
        return TimedStep(step, self.volumes, "volume", (denoiser,), self.precision)

    def denoise(self) -> TimedStep:
        """One evaluation of the denoiser for one volume, as in sampling."""
        denoiser = self.denoiser().eval()
        x = torch.randn(1, *self.latent_shape, device=device())
        t = torch.tensor([500], device=device())
        call = self._inference(lambda: denoiser(x, t))
        return TimedStep(call, 1, "volume", (denoiser,), self.precision)

    def decode(self) -> TimedStep:
        """Decode the latents of a whole volume."""
        model = self.autoencoder().eval()
        x = torch.randn(1, *self.latent_shape, device=device())
        call = self._inference(lambda: model.decode(x))
        return TimedStep(call, self.shape[2], "slice", (model.decoder,), self.precision)

    def _volume(self, count: int = 1) -> Tensor:
        return torch.rand(count, self.channels, *self.shape, device=device())

    def _inference(self, forward):
        @torch.inference_mode()
        def call() -> Tensor:
            with autocast(self.precision, device()):
                return forward()

        return call

    def autoencoder(self) -> AutoencoderKL:
        """The 3-D autoencoder, untrained."""
        return build_autoencoder(self.channels, self.autoencoder_widths, GROUPS).to(device())

    def denoiser(self) -> DiffusionModelUNet:
        """The denoiser of its latents, untrained."""
        return build_denoiser(self.denoiser_widths, GROUPS).to(device())


def draw_generator(torch_device: torch.device) -> torch.Generator:
    """A generator on a device, seeded by torch's global generator."""
    return torch.Generator(torch_device).manual_seed(int(torch.randint(2**31, ())))


def _step(network, adam, loss, precision: str):
    return lambda: optimiser_step(network, adam, loss, precision)
