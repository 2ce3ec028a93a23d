"""The diffusion process: noise levels, preconditioning, and the sampler (Karras et al. 2022, EDM).

``x = x0 + sigma * noise``: noisy latents x, clean latents x0, standard normal noise, noise level
sigma. Latents have a standard deviation of about 1 (sigma_data of the paper). Equations and tables
are those of Karras et al., unless another paper is named.
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
    """Factors c_skip, c_out and c_in (table 1), each (B, 1, …) to multiply latents (B, …):
    ``denoised = skip * x + out * network(scale_in * x)`` (equation 7)."""

    skip: Tensor
    out: Tensor
    scale_in: Tensor

    def target(self, x0: Tensor, x: Tensor) -> Tensor:
        """The network's target (B, …) for noisy latents ``x`` of clean ones ``x0``, both (B, …):
        the output for which ``denoised`` is ``x0`` (equation 8)."""
        return (x0 - self.skip * x) / self.out


class Process:
    """Noise levels of training, and the network's input and output at each.

    With ``preconditioning: edm`` the network predicts the part of the latents that is unknown at
    the noise level, in units of its standard deviation; with ``noise``, the noise (Ho et al. 2020).
    Estimates of the latents are never clipped: tumours lie many standard deviations from the mean,
    and clipping would remove them.
    """

    def __init__(self, settings: NoiseSettings) -> None:
        self.settings = settings
        # Noise levels of a DDPM in these units: x0 + sigma · noise is its noisy image divided by
        # sqrt(alpha_bar), so sigma = sqrt((1 - alpha_bar) / alpha_bar).
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
        """``count`` noise levels of a training step, on ``device``: log-normal (table 1), or those
        of a DDPM's schedule at timesteps that are drawn uniformly."""
        if self.schedule is None:
            normal = torch.randn(count, generator=random, device=device)
            return (self.settings.noise_mean + self.settings.noise_sd * normal).exp()
        t = torch.randint(len(self.schedule), (count,), generator=random, device=device)
        return self.schedule.to(device)[t].float()

    def preconditioning(self, sigma: Tensor, like: Tensor) -> Preconditioning:
        """Factors at noise levels ``sigma`` (B,), for latents shaped like ``like`` (B, …).

        With sigma_data = 1, EDM's are ``skip = 1 / (sigma² + 1)``, ``out = sigma / √(sigma² + 1)``
        and ``scale_in = 1 / √(sigma² + 1)``. If the network predicts the noise, ``denoised`` is
        ``x - sigma * network``.
        """
        sigma = sigma.view(-1, *[1] * (like.ndim - 1)).to(like)
        total = (sigma**2 + 1).sqrt()
        if self.settings.preconditioning == "noise":
            return Preconditioning(torch.ones_like(sigma), -sigma, 1 / total)
        return Preconditioning(1 / total**2, sigma / total, 1 / total)

    def output(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """The network's output (B, …), fp32, for noisy latents ``x`` (B, …) at noise levels
        ``sigma`` (B,)."""
        # c_noise of table 1 is ln(sigma) / 4.
        return network(x * self.preconditioning(sigma, x).scale_in, sigma.log() / 4).float()

    def denoised(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """The estimate of the clean latents (B, …) from noisy ones ``x`` (B, …) at noise levels
        ``sigma`` (B,) (equation 7)."""
        factors = self.preconditioning(sigma, x)
        return factors.skip * x + factors.out * self.output(network, x, sigma)


@dataclass(frozen=True)
class Sampler:
    """From noise to latents, in ``steps`` evaluations of the denoiser (twice as many with
    guidance).

    DPM-Solver++(2M) for the diffusion SDE (Lu et al. 2022). It is of second order: the estimate of
    the latents is extrapolated from its last change. Ancestral sampling, which is of first order,
    leaves 0.87 of a standard deviation of 1 after 32 steps.

    Noise levels fall from ``sigma_max`` to ``sigma_min`` and then to 0. ``stochasticity`` is the
    rate at which noise is replaced: 1 is the reverse SDE, which corrects errors of earlier steps, 0
    the probability-flow ODE (Song et al. 2021). ``guidance`` w changes the estimate to
    ``null + w (conditioned - null)`` (Ho & Salimans 2022). With ``order`` 1 and stochasticity 0, a
    step is one of DDIM (Song et al. 2021).
    """

    steps: int
    sigma_max: float
    sigma_min: float
    stochasticity: float = 1.0
    guidance: float = 1.0
    order: int = 2

    def noise_levels(self) -> list[float]:
        """Noise levels of the steps, decreasing, and 0 (equation 5, with ``RHO``)."""
        ends = torch.tensor([self.sigma_max, self.sigma_min], dtype=torch.double) ** (1 / RHO)
        ramp = torch.linspace(0, 1, self.steps, dtype=torch.double)
        return [*((ends[0] + ramp * (ends[1] - ends[0])) ** RHO).tolist(), 0.0]

    def sample(
        self,
        denoiser: Denoiser,
        noise: Callable[[], Tensor],
        keep: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Latents (B, …) from noise: each call of ``noise`` gives standard normal noise of their
        shape.

        ``keep`` maps each estimate of the latents to one with the known part of the latents in it.
        Since later steps start from that, the sampled part fits to the known one.
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
            # One step from sigma = now to later, with h = ln(now / later) and stochasticity s
            # (Lu et al. 2022, SDE-DPM-Solver++). The linear part of the SDE is solved exactly:
            #   x <- later/now exp(-s h) x + (1 - exp(-h - s h)) D + later sqrt(1 - exp(-2 s h)) n
            # with new noise n. In first order D is the estimate; in second order it is
            #   D = estimate + h / (2 h_before) (estimate - estimate_before).
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
