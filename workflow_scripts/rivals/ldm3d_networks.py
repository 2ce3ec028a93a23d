"""Networks, losses and sampling of a 3-D latent diffusion model, as in MONAI's example for BraTS:

``generation/3d_ldm/config/config_train_16g.json`` in Project-MONAI/tutorials. Its perceptual and
adversarial terms are omitted: the first needs a network that would have to be downloaded, and both
would take more time. Attention is computed without storing its matrices, unlike in the example.
"""

import math
from collections.abc import Sequence

import torch
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet
from torch import Tensor
from torch.nn import functional

from workflow_scripts.common.device import autocast
from workflow_scripts.diffusion.process import Network, Process, Sampler
from workflow_scripts.diffusion.settings import NoiseSettings

LATENT_CHANNELS = 8
KL = 1e-7
SCHEDULE = NoiseSettings(
    preconditioning="noise", noise="scaled_linear_beta", noise_mean=0, noise_sd=1,
    timesteps=1000, beta_start=0.0015, beta_end=0.0195,
)  # fmt: skip
# Channels of an attention head, or a divisor of the channels.
HEAD = 64


def build_autoencoder(channels: int, widths: Sequence[int], norm_groups: int) -> AutoencoderKL:
    """Build an untrained 3-D autoencoder of volumes with so many channels; each width after the
    first halves the resolution."""
    return AutoencoderKL(
        spatial_dims=3,
        in_channels=channels,
        out_channels=channels,
        channels=widths,
        latent_channels=LATENT_CHANNELS,
        num_res_blocks=(2,) * len(widths),
        norm_num_groups=norm_groups,
        attention_levels=(False,) * len(widths),
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
    )


def build_denoiser(widths: Sequence[int], norm_groups: int) -> DiffusionModelUNet:
    """Build an untrained denoiser of its latents, with attention at all resolutions but the
    first."""
    attention = [index > 0 for index in range(len(widths))]
    heads = [has * math.gcd(HEAD, width) for has, width in zip(attention, widths, strict=True)]
    return DiffusionModelUNet(
        spatial_dims=3,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        channels=widths,
        attention_levels=attention,
        num_head_channels=heads,
        num_res_blocks=2,
        norm_num_groups=norm_groups,
        use_flash_attention=True,
    )


def reconstruct(
    model: AutoencoderKL, x: Tensor, random: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Volumes (B, C, X, Y, Z), encoded and decoded, and the KL divergence of their latents."""
    mean, sd = model.encode(x)
    noise = torch.randn(mean.shape, generator=random, device=mean.device).to(mean)
    kl = 0.5 * (mean**2 + sd**2 - (sd**2 + 1e-8).log() - 1).float().sum() / len(x)
    return model.decode(mean + sd * noise).float(), kl


def reconstruction_loss(model: AutoencoderKL, x: Tensor) -> Tensor:
    """L1 and KL of volumes (B, C, X, Y, Z), as in the example without its other terms."""
    reconstruction, kl = reconstruct(model, x)
    return functional.l1_loss(reconstruction, x) + KL * kl


def noise_loss(
    denoiser: DiffusionModelUNet, process: Process, latent: Tensor, random: torch.Generator
) -> Tensor:
    """Squared error of the noise in latents (B, C, x, y, z) at random timesteps."""
    sigma = process.noise_levels(len(latent), random, latent.device)
    noise = torch.randn(latent.shape, generator=random, device=latent.device).to(latent)
    x = latent + sigma.view(-1, 1, 1, 1, 1) * noise
    output = process.output(at_timesteps(denoiser, process), x, sigma)
    return functional.mse_loss(output, noise)


def at_timesteps(denoiser: DiffusionModelUNet, process: Process) -> Network:
    """MONAI's network with the interface of ``Process``: at the timesteps of the nearest noise
    levels."""

    def call(x: Tensor, level: Tensor) -> Tensor:
        sigma = (4 * level).exp()[:, None]
        timesteps = (process.schedule.to(sigma) - sigma).abs().argmin(1)
        return denoiser(x, timesteps)

    return call


def sample_latent(
    denoiser: DiffusionModelUNet,
    process: Process,
    shape: Sequence[int],
    steps: int,
    precision: str,
    random: torch.Generator,
) -> Tensor:
    """Latents (1, C, x, y, z) by DDIM; ``shape`` is (C, x, y, z)."""
    target = next(denoiser.parameters()).device
    network = at_timesteps(denoiser, process)
    lowest, highest = (float(process.schedule[end]) for end in (0, -1))
    sampler = Sampler(steps, highest, lowest, stochasticity=0, order=1)

    def noise() -> Tensor:
        return torch.randn(1, *shape, generator=random).to(target)

    def answer(x: Tensor, sigma: Tensor, conditioned: bool) -> Tensor:
        with autocast(precision, target):
            return process.denoised(network, x, sigma)

    return sampler.sample(answer, noise)
