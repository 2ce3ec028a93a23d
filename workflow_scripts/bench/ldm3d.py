"""The steps of a 3-D latent diffusion model, as MONAI's example for BraTS builds one.

Networks, patch and weights of the loss are those of ``generation/3d_ldm/config/
config_train_16g.json`` in Project-MONAI/tutorials; the label is one more channel. Its perceptual
and adversarial terms are left out: the first needs a network that would have to be fetched, and
both would add to its time. Attention is computed without storing its matrices, which the example
does not ask for, and its arithmetic is that of the networks it is compared with.
"""

import torch
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet
from torch import Tensor
from torch.nn import functional

from workflow_scripts.bench.work import Work, optimiser_step
from workflow_scripts.common.device import autocast, device
from workflow_scripts.common.labels import class_count
from workflow_scripts.configuration import Config
from workflow_scripts.diffusion.process import Network, Process
from workflow_scripts.diffusion.settings import NoiseSettings

PATCH = (112, 128, 80)
LATENT_CHANNELS = 8
DOWN = 4
KL = 1e-7
RATE = 5e-6
SCHEDULE = NoiseSettings(
    preconditioning="noise", noise="scaled_linear_beta", noise_mean=0, noise_sd=1,
    timesteps=1000, beta_start=0.0015, beta_end=0.0195,
)  # fmt: skip
# The example samples by DDPM in 1000; DDIM is what the others use, and as many steps as the paper.
EVALUATIONS = 50


class VolumeSystem:
    """A 3-D autoencoder and a denoiser of its latents, untrained, on random volumes.

    ``precision`` is that of the system it is compared with; ``volumes`` are a batch of the
    denoiser's training.
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

    def autoencoder_train(self) -> Work:
        """A step of the autoencoder on a patch, or on the volume where that is smaller."""
        model = self.autoencoder().train()
        adam = torch.optim.Adam(model.parameters(), RATE)
        patch = [min(n, p) for n, p in zip(self.shape, PATCH, strict=True)]
        x = torch.rand(1, self.channels, *patch, device=device())

        slices = x[0, 0].numel() / (self.shape[0] * self.shape[1])
        step = _step(model, adam, lambda: reconstruction_loss(model, x), self.precision)
        return Work(step, slices, "slice", (model,), self.precision)

    def encode(self) -> Work:
        """Latents of a whole volume."""
        model, x = self.autoencoder().eval(), self._volume()
        call = self._inference(lambda: model.encode(x)[0])
        return Work(call, self.shape[2], "slice", (model.encoder,), self.precision)

    def second_stage_train(self) -> Work:
        """A step of the denoiser on a batch, which the example encodes in each step."""
        autoencoder, x = self.autoencoder().eval(), self._volume(self.volumes)
        denoiser = self.denoiser().train()
        adam = torch.optim.Adam(denoiser.parameters(), RATE)

        def loss() -> Tensor:
            with torch.no_grad():
                latent = autoencoder.encode_stage_2_inputs(x).float()
            return noise_loss(denoiser, self.process, latent)

        step = _step(denoiser, adam, loss, self.precision)
        return Work(step, self.volumes, "volume", (denoiser,), self.precision)

    def denoise(self) -> Work:
        """One evaluation of the denoiser in sampling, of one volume."""
        denoiser = self.denoiser().eval()
        x = torch.randn(1, *self.latent_shape, device=device())
        t = torch.tensor([500], device=device())
        call = self._inference(lambda: denoiser(x, t))
        return Work(call, 1, "volume", (denoiser,), self.precision)

    def decode(self) -> Work:
        """A whole volume of latents."""
        model = self.autoencoder().eval()
        x = torch.randn(1, *self.latent_shape, device=device())
        call = self._inference(lambda: model.decode(x))
        return Work(call, self.shape[2], "slice", (model.decoder,), self.precision)

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
        return AutoencoderKL(
            spatial_dims=3,
            in_channels=self.channels,
            out_channels=self.channels,
            channels=self.autoencoder_widths,
            latent_channels=LATENT_CHANNELS,
            num_res_blocks=(2, 2, 2),
            norm_num_groups=32,
            attention_levels=(False, False, False),
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        ).to(device())

    def denoiser(self) -> DiffusionModelUNet:
        """The denoiser of its latents, untrained."""
        return DiffusionModelUNet(
            spatial_dims=3,
            in_channels=LATENT_CHANNELS,
            out_channels=LATENT_CHANNELS,
            channels=self.denoiser_widths,
            attention_levels=(False, True, True),
            num_head_channels=(0, 64, 64),
            num_res_blocks=2,
            use_flash_attention=True,
        ).to(device())


def reconstruction_loss(model: AutoencoderKL, x: Tensor) -> Tensor:
    """L1 and KL of volumes (B, C, X, Y, Z), the example's without its other terms."""
    made, mean, sd = model(x)
    kl = 0.5 * (mean**2 + sd**2 - (sd**2 + 1e-8).log() - 1).float().sum() / len(x)
    return functional.l1_loss(made.float(), x) + KL * kl


def noise_loss(denoiser: DiffusionModelUNet, process: Process, latent: Tensor) -> Tensor:
    """Squared error of the noise in latents (B, C, x, y, z) at random timesteps."""
    random = torch.Generator(latent.device).manual_seed(int(torch.randint(2**31, ())))
    sigma = process.noise_levels(len(latent), random, latent.device)
    noise = torch.randn_like(latent)
    x = latent + sigma.view(-1, 1, 1, 1, 1) * noise
    output = process.output(at_timesteps(denoiser, process), x, sigma)
    return functional.mse_loss(output, noise)


def at_timesteps(denoiser: DiffusionModelUNet, process: Process) -> Network:
    """MONAI's network as ``Process`` calls it: at the timesteps of the nearest noise levels."""

    def call(x: Tensor, level: Tensor) -> Tensor:
        sigma = (4 * level).exp()[:, None]
        timesteps = (process.schedule.to(sigma) - sigma).abs().argmin(1)
        return denoiser(x, timesteps)

    return call


def _step(network, adam, loss, precision: str):
    return lambda: optimiser_step(network, adam, loss, precision)
