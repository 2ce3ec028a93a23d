"""The diffusion process: noise levels, preconditioning, and the sampler (Karras et al. 2022, EDM).

``x = x0 + sigma * noise``; latents have a standard deviation of about 1 (sigma_data of the paper).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks.schedulers import DDPMScheduler
from torch import Tensor

from workflow_scripts.diffusion.settings import NoiseSettings

# (noisy latents, noise levels (B,), conditioned) -> estimate of the latents without noise
Denoiser = Callable[[Tensor, Tensor, bool], Tensor]
# (scaled noisy latents, embedded noise levels (B,)) -> the network's output
Network = Callable[[Tensor, Tensor], Tensor]
# Exponent of the sampler's noise levels (equation 5).
RHO = 7.0


@dataclass(frozen=True)
class Preconditioning:
    """Factors of table 1, each shaped to multiply latents (B, …):
    ``denoised = skip * x + out * network(scale_in * x)``."""

    skip: Tensor
    out: Tensor
    scale_in: Tensor

    def target(self, x0: Tensor, x: Tensor) -> Tensor:
        """What the network should give for noisy latents ``x`` of ``x0``."""
        return (x0 - self.skip * x) / self.out


class Process:
    """Noise levels of training, and what the network sees and predicts at each.

    With ``preconditioning: edm`` the network predicts what is unknown of the latents at the noise
    level, in units of its standard deviation; with ``noise``, the noise (Ho et al. 2020). Estimates
    of the latents are never clipped: tumours lie many standard deviations out, and a clip wipes
    them away.
    """

    def __init__(self, settings: NoiseSettings) -> None:
        self.settings = settings
        self.schedule = None
        if settings.noise != "lognormal":
            scheduler = DDPMScheduler(
                settings.timesteps,
                schedule=settings.noise,
                beta_start=settings.beta_start,
                beta_end=settings.beta_end,
            )
            alphas = scheduler.alphas_cumprod.double()
            self.schedule = ((1 - alphas) / alphas).sqrt()

    def noise_levels(self, count: int, random: torch.Generator, device: torch.device) -> Tensor:
        """Noise levels (B,) of a training step: log-normal, or those of a DDPM's schedule at
        random timesteps."""
        if self.schedule is None:
            normal = torch.randn(count, generator=random, device=device)
            return (self.settings.noise_mean + self.settings.noise_sd * normal).exp()
        t = torch.randint(len(self.schedule), (count,), generator=random, device=device)
        return self.schedule.to(device)[t].float()

    def preconditioning(self, sigma: Tensor, like: Tensor) -> Preconditioning:
        """Factors at noise levels (B,), for latents like ``like`` (B, …)."""
        sigma = sigma.view(-1, *[1] * (like.ndim - 1)).to(like)
        total = (sigma**2 + 1).sqrt()
        if self.settings.preconditioning == "noise":
            return Preconditioning(torch.ones_like(sigma), -sigma, 1 / total)
        return Preconditioning(1 / total**2, sigma / total, 1 / total)

    def output(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """The network's output for noisy latents (B, …) at noise levels (B,)."""
        # A quarter of the logarithm, as the paper embeds it.
        return network(x * self.preconditioning(sigma, x).scale_in, sigma.log() / 4).float()

    def denoised(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """The estimate of the latents behind ``x`` (B, …)."""
        factors = self.preconditioning(sigma, x)
        return factors.skip * x + factors.out * self.output(network, x, sigma)


@dataclass(frozen=True)
class Sampler:
    """From noise to latents, in ``steps`` evaluations of the denoiser (twice as many with
    guidance).

    DPM-Solver++(2M) for the diffusion SDE (Lu et al. 2022), of second order: the estimate of the
    latents is taken to go on changing as it last did. Ancestral sampling, of first order, leaves
    0.87 of a standard deviation of 1 after 32 steps.

    Noise levels fall from ``sigma_max`` to ``sigma_min`` and then to 0. ``stochasticity`` is how
    fast noise is drawn anew: 1 is the reverse SDE, which corrects errors of earlier steps, 0 the
    probability-flow ODE (Song et al. 2021). ``guidance`` w gives ``null + w (conditioned - null)``
    (Ho & Salimans 2022). Of order 1 with stochasticity 0 a step is DDIM's (Song et al. 2021).
    """

    steps: int
    sigma_max: float
    sigma_min: float
    stochasticity: float = 1.0
    guidance: float = 1.0
    order: int = 2

    def noise_levels(self) -> list[float]:
        """Noise levels of the steps, and 0 (equation 5)."""
        ends = torch.tensor([self.sigma_max, self.sigma_min], dtype=torch.double) ** (1 / RHO)
        ramp = torch.linspace(0, 1, self.steps, dtype=torch.double)
        return [*((ends[0] + ramp * (ends[1] - ends[0])) ** RHO).tolist(), 0.0]

    def sample(
        self,
        denoiser: Denoiser,
        noise: Callable[[], Tensor],
        keep: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Latents (B, …); each call of ``noise`` gives standard normal noise of their shape.

        ``keep`` takes each estimate of the latents to one in which what is known of them stands;
        the sample ends with it, and the rest is made to fit.
        """
        levels = self.noise_levels()
        x, before, step_before = noise() * levels[0], None, 0.0
        for now, later in zip(levels, levels[1:], strict=False):
            sigma = x.new_full((len(x),), now)
            estimate = denoiser(x, sigma, True)
            if self.guidance != 1:
                null = denoiser(x, sigma, False)
                estimate = null + self.guidance * (estimate - null)
            if keep:
                estimate = keep(estimate)
            if not later:
                break
            # In the logarithm of the noise level, in which the linear part is solved exactly.
            step = math.log(now / later)
            renewed = self.stochasticity * step
            share = -math.expm1(-step - renewed)
            x = later / now * math.exp(-renewed) * x + share * estimate
            if before is not None and self.order == 2:
                x = x + share / 2 * step / step_before * (estimate - before)
            if renewed:
                x = x + later * math.sqrt(-math.expm1(-2 * renewed)) * noise()
            before, step_before = estimate, step
        return estimate
