"""The diffusion process against a distribution whose answers are known."""

import pytest
import torch

from workflow_scripts.diffusion.process import Process

MEAN, SD = 3.0, 0.5


def process(target, schedule="scaled_linear_beta"):
    return Process(target, schedule, 1000, 0.002, 0.02)


def perfect_denoiser(p, sd=SD, mean=MEAN):
    """The best prediction there is for Gaussian data: E[x0 | x_t] in closed form."""

    def denoise(x, t, conditioned):
        signal, sigma = p.factors(t, x)
        gain = signal * sd**2 / (signal**2 * sd**2 + sigma**2)
        x0 = mean + gain * (x - signal * mean)
        return p.prediction(x0, x, t)

    return denoise


def many():
    """Noise for so many samples that their standard deviation is known to a hundredth."""
    return torch.randn(8000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.double)


@pytest.mark.parametrize("target", ["noise", "velocity", "x0"])
@pytest.mark.parametrize("schedule", ["scaled_linear_beta", "cosine"])
@pytest.mark.parametrize(("steps", "off"), [(12, 0.15), (50, 0.05)])
def test_the_sampler_finds_a_gaussian_that_it_knows_nothing_of(target, schedule, steps, off):
    p = process(target, schedule)
    samples = p.sample(perfect_denoiser(p), many(), steps)
    assert samples.mean() == pytest.approx(MEAN, abs=off)
    assert samples.std() == pytest.approx(SD, rel=0.08)


@pytest.mark.parametrize("schedule", ["scaled_linear_beta", "cosine"])
def test_twice_the_steps_leave_less_than_half_of_the_error(schedule):
    p, noise = process("velocity", schedule), many()
    signal, sigma = p.factors(torch.tensor([p.timesteps - 1]), noise)
    wanted = MEAN + SD * (noise - signal * MEAN) / (signal**2 * SD**2 + sigma**2).sqrt()
    found = [p.sample(perfect_denoiser(p), noise, steps) for steps in (10, 20)]
    error, half = [(x0 - wanted).square().mean().sqrt() for x0 in found]
    assert half < 0.4 * error < 0.02


@pytest.mark.parametrize("sd", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("schedule", ["scaled_linear_beta", "cosine"])
def test_a_gaussian_of_known_variance_keeps_it_in_few_steps(sd, schedule):
    p = process("velocity", schedule)
    samples = p.sample(perfect_denoiser(p, sd, 0.0), many(), 12, variance=sd**2)
    assert samples.std() == pytest.approx(sd, rel=0.05)


def ddim(p, denoise, noise, steps):
    """Song et al. 2021, equation 12 without noise, at the sampler's timesteps."""
    x, times = noise, p.times(steps)
    for i, time in enumerate(times):
        t = time.expand(len(x))
        x0, found = p.estimate(denoise(x, t, True), x, t)
        if i < len(times) - 1:
            x = p.noised(x0, found, times[i + 1].expand(len(x)))
    return x0


@pytest.mark.parametrize(
    ("variance", "kept", "kept_by_ddim"), [(1.0, 0.96, 0.73), (0.1, 0.72, 0.58), (0.02, 0.34, 0.30)]
)
def test_eight_steps_keep_the_shares_of_variance_that_the_docs_give(variance, kept, kept_by_ddim):
    """The sampler is linear in the noise here, so one value tells all."""
    p, one = process("velocity", "cosine"), torch.ones(1, 1, dtype=torch.double)
    denoise = perfect_denoiser(p, variance**0.5, 0.0)
    sample = p.sample(denoise, one, 8, variance=variance)
    assert sample.item() ** 2 / variance == pytest.approx(kept, abs=0.005)
    assert ddim(p, denoise, one, 8).item() ** 2 / variance == pytest.approx(kept_by_ddim, abs=0.005)


def test_a_far_value_is_not_clipped():
    p = process("velocity")
    x0 = torch.full((1, 1), 9.0)

    def knows_the_answer(x, t, conditioned):
        return p.prediction(x0, x, t)

    assert p.sample(knows_the_answer, torch.randn(1, 1), 20).item() == pytest.approx(9.0, abs=1e-3)


@pytest.mark.parametrize("target", ["noise", "velocity", "x0"])
def test_estimate_inverts_target(target):
    p = process(target)
    x0, noise, t = torch.randn(5, 2, 3), torch.randn(5, 2, 3), torch.tensor([0, 10, 300, 700, 950])
    found, found_noise = p.estimate(p.target(x0, noise, t), p.noised(x0, noise, t), t)
    assert torch.allclose(found, x0, atol=2e-3)
    assert torch.allclose(found_noise, noise, atol=2e-2)


def test_guidance_of_one_never_asks_for_the_null():
    p = process("velocity")
    asked = []

    def denoise(x, t, conditioned):
        asked.append(conditioned)
        return torch.zeros_like(x)

    p.sample(denoise, torch.randn(1, 1), 4, guidance=1.0)
    assert asked == [True] * 4
    p.sample(denoise, torch.randn(1, 1), 4, guidance=2.0)
    assert asked.count(False) == 4
