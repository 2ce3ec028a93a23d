"""The diffusion process: noising, targets, and the deterministic sampler."""

from collections.abc import Callable

import torch
from monai.networks.schedulers import DDPMScheduler
from torch import Tensor

# (noisy latents, timesteps, conditioned) -> the network's prediction
Denoiser = Callable[[Tensor, Tensor, bool], Tensor]


class Process:
    """``x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e``, with a_t from a MONAI noise schedule.

    The network predicts the noise ``e`` (Ho et al. 2020), the velocity
    ``sqrt(a_t) e - sqrt(1 - a_t) x_0`` (Salimans & Ho 2022), or ``x_0``. Estimates of x_0 are
    never clipped: tumours lie many standard deviations out, and a clip wipes them away.
    """

    def __init__(
        self, target: str, schedule: str, timesteps: int, beta_start: float, beta_end: float
    ) -> None:
        betas = {} if schedule == "cosine" else {"beta_start": beta_start, "beta_end": beta_end}
        scheduler = DDPMScheduler(timesteps, schedule=schedule, clip_sample=False, **betas)
        self.alphas = scheduler.alphas_cumprod.double()
        self.kind, self.timesteps = target, timesteps

    def factors(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(a_t) and sqrt(1 - a_t) for timesteps (B,), shaped to multiply ``like`` (B, …)."""
        alpha = self.alphas.to(t.device)[t].view(-1, *[1] * (like.ndim - 1))
        return alpha.sqrt().to(like), (1 - alpha).sqrt().to(like)

    def noised(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of latents (B, …) at timesteps (B,)."""
        signal, sigma = self.factors(t, x0)
        return signal * x0 + sigma * noise

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network should predict."""
        signal, sigma = self.factors(t, x0)
        return {"noise": noise, "x0": x0, "velocity": signal * noise - sigma * x0}[self.kind]

    def prediction(self, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """What a network predicts that takes ``x0`` for the latents behind x_t."""
        signal, sigma = self.factors(t, x)
        return self.target(x0, (x - signal * x0) / sigma, t)

    def estimate(self, prediction: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The x_0 and the noise that a prediction at x_t implies."""
        signal, sigma = self.factors(t, x)
        if self.kind == "velocity":
            return signal * x - sigma * prediction, sigma * x + signal * prediction
        if self.kind == "x0":
            return prediction, (x - signal * prediction) / sigma
        return (x - sigma * prediction) / signal, prediction

    def times(self, steps: int) -> Tensor:
        """Timesteps of a sampler from T - 1 down, evenly spaced in the angle acos(sqrt(a_t)), by
        which x_t turns from data to noise."""
        angles = self.alphas.sqrt().acos()
        wanted = torch.linspace(0, 1, steps + 1, dtype=torch.double)[1:] * angles[-1]
        nearest = (angles[None] - wanted[:, None]).abs().argmin(1)
        return nearest.unique().flip(0)

    def sample(
        self,
        denoiser: Denoiser,
        noise: Tensor,
        steps: int,
        guidance: float = 1.0,
        variance: Tensor | float = 1.0,
    ) -> Tensor:
        """Latents (B, …) from noise, by the probability-flow ODE (Song et al. 2021).

        ``variance`` v > 0, of the latents, broadcasts to their shape. From one timestep to the
        next the ODE of Gaussian latents of that variance is solved exactly: x_t over the root of
        ``total`` = a_t v + 1 - a_t stays what it is. What moves it is ``rest``, by which the
        denoiser's estimate of x_0 differs from theirs: an exponential integrator (Zhang & Chen
        2023) of second order. A whole step has the ``rest`` that its middle would have if it went
        on changing as it last did (Adams and Bashforth).

        Each step goes to the next timestep of ``times``. The last one takes the denoiser's
        estimate of x_0, a mean, which varies less than x_0: with the cosine schedule and a perfect
        denoiser of Gaussian latents, eight steps keep 0.96, 0.72 and 0.34 of variances of 1, 0.1
        and 0.02, and DDIM, which holds the estimate in every step, 0.73, 0.58 and 0.30.

        ``guidance`` w gives ``null + w (conditioned - null)`` (Ho & Salimans 2022).
        """
        root = torch.as_tensor(variance, dtype=noise.dtype, device=noise.device).sqrt()
        times = self.times(steps)
        x, before = noise, None
        for i, time in enumerate(times):
            t = time.expand(len(x)).to(x.device)
            prediction = denoiser(x, t, True)
            if guidance != 1:
                null = denoiser(x, t, False)
                prediction = null + guidance * (prediction - null)
            x0, _ = self.estimate(prediction, x, t)
            if i == len(times) - 1:
                return x0
            signal, sigma = self.factors(t, x)
            later_signal, later_sigma = self.factors(times[i + 1].expand(len(x)).to(x.device), x)
            total = (signal * root) ** 2 + sigma**2
            later_total = (later_signal * root) ** 2 + later_sigma**2
            rest = x0 - signal * root**2 / total * x
            middle = rest if before is None else rest + (rest - before) / 2
            # Of d(cot φ) / sqrt(v cot² φ + 1), with cot φ = sqrt(a_t / (1 - a_t)).
            integral = (later_signal / later_sigma * root).asinh() - (signal / sigma * root).asinh()
            x = later_total.sqrt() * (x / total.sqrt() + integral / root * middle)
            before = rest
