"""The diffusion process against a distribution whose answers are known."""

import numpy as np
import pytest
import torch

from workflow_scripts.diffusion.process import Process, Sampler
from workflow_scripts.diffusion.settings import NoiseSettings

MEAN, SD = 3.0, 0.5
KINDS = {
    "edm": {"preconditioning": "edm", "noise": "lognormal"},
    "paper": {"preconditioning": "noise", "noise": "scaled_linear_beta"},
}


def process(kind="edm", **changes):
    given = {"noise_mean": -0.2, "noise_sd": 1.6, "timesteps": 1000, "beta_start": 0.002}
    return Process(NoiseSettings(**(given | {"beta_end": 0.02} | KINDS[kind] | changes)))


def perfect_denoiser(x, sigma, conditioned):
    """The best estimate there is for Gaussian data: E[x0 | x] in closed form."""
    sigma = sigma.view(-1, 1)
    return MEAN + SD**2 / (SD**2 + sigma**2) * (x - MEAN)


def noise_of(shape=(8000, 1), seed=0):
    """Noise for so many samples that their standard deviation is known to a hundredth."""
    random = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=random, dtype=torch.double)


@pytest.mark.parametrize("stochasticity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("steps", "off"), [(16, 0.12), (32, 0.04)])
def test_the_sampler_finds_a_gaussian_that_it_knows_nothing_of(stochasticity, steps, off):
    sampler = Sampler(steps, 60, 0.02, stochasticity)
    samples = sampler.sample(perfect_denoiser, noise_of())
    assert samples.mean() == pytest.approx(MEAN, abs=0.05)
    assert samples.std().item() == pytest.approx(SD, rel=off)


def test_of_order_1_without_noise_a_step_is_that_of_ddim():
    """Song et al. 2021, equation 12 with sigma = 0, in latents that are not scaled down."""
    x = noise_of((100, 1))() * 60
    found = Sampler(5, 60, 0.02, 0.0, order=1).sample(perfect_denoiser, noise_of((100, 1)))
    levels = Sampler(5, 60, 0.02).noise_levels()
    for now, later in zip(levels, levels[1:], strict=False):
        estimate = perfect_denoiser(x, torch.full((len(x),), now), True)
        x = estimate + later * (x - estimate) / now
    torch.testing.assert_close(found, x)


def ancestral(steps):
    """A sample of Karras et al.'s ancestral sampler, of first order, at the same noise levels."""
    noise, levels = noise_of(), Sampler(steps, 60, 0.02).noise_levels()
    x = noise() * levels[0]
    for now, later in zip(levels, levels[1:], strict=False):
        estimate = perfect_denoiser(x, torch.full((len(x),), now), True)
        fresh = later * (1 - (later / now) ** 2) ** 0.5
        x = estimate + (later**2 - fresh**2) ** 0.5 / now * (x - estimate) + fresh * noise()
    return x


def test_ancestral_sampling_of_first_order_loses_contrast():
    """Why the sampler is of second order: it keeps the standard deviation that the other loses."""
    second = Sampler(32, 60, 0.02).sample(perfect_denoiser, noise_of())
    assert ancestral(32).std().item() < 0.9 * SD
    assert second.std().item() > 0.97 * SD


def test_noise_levels_fall_from_the_largest_to_the_smallest_and_then_to_nothing():
    levels = Sampler(5, 60, 0.02).noise_levels()
    assert levels[0] == pytest.approx(60)
    assert levels[-2:] == pytest.approx([0.02, 0])
    assert np.all(np.diff(levels) < 0)
    # Equation 5 of Karras et al. 2022, written out for the middle.
    assert levels[2] == pytest.approx(((60 ** (1 / 7) + 0.02 ** (1 / 7)) / 2) ** 7)


def test_a_deterministic_sampler_draws_noise_once_and_a_stochastic_one_before_each_later_step():
    for stochasticity, draws in ((0.0, 1), (1.0, 5)):
        calls = []

        def noise(calls=calls):
            calls.append(1)
            return torch.zeros(1, 1)

        Sampler(5, 60, 0.02, stochasticity).sample(perfect_denoiser, noise)
        assert len(calls) == draws


def test_a_stochastic_sampler_forgets_an_early_error():
    """An estimate that is off at high noise levels is mended by later, right ones."""

    def early_error(x, sigma, conditioned):
        return perfect_denoiser(x, sigma, conditioned) + 5.0 * (sigma.view(-1, 1) > 2)

    off = [
        abs(Sampler(48, 60, 0.02, s).sample(early_error, noise_of()).mean().item() - MEAN)
        for s in (0.0, 1.0)
    ]
    assert off[1] < 0.5 * off[0]


def test_a_far_value_is_not_clipped():
    far = torch.full((1, 1), 9.0)
    found = Sampler(20, 60, 0.02).sample(lambda x, sigma, conditioned: far, noise_of((1, 1)))
    assert found.item() == pytest.approx(9.0, abs=1e-6)


def test_guidance_of_one_never_asks_for_the_null():
    asked = []

    def denoise(x, sigma, conditioned):
        asked.append(conditioned)
        return torch.full_like(x, float(conditioned))

    Sampler(4, 60, 0.02, guidance=1.0).sample(denoise, noise_of((1, 1)))
    assert asked == [True] * 4
    guided = Sampler(4, 60, 0.02, guidance=2.0).sample(denoise, noise_of((1, 1)))
    assert asked.count(False) == 4
    assert guided.item() == pytest.approx(2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_gives_the_target_finds_the_latents(kind):
    p, sigma = process(kind), torch.tensor([0.02, 0.3, 1.0, 5.0, 60.0])
    x0, noise = torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    x = x0 + sigma.view(-1, 1, 1) * noise
    target = p.preconditioning(sigma, x).target(x0, x)
    found = p.denoised(lambda scaled, level: target, x, sigma)
    torch.testing.assert_close(found, x0, atol=1e-4, rtol=1e-4)
    if kind == "paper":
        torch.testing.assert_close(target, noise, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_network_sees_has_unit_variance_at_any_noise_level(kind):
    p, sigma = process(kind), torch.tensor([0.02, 1.0, 60.0])
    x0, noise = torch.randn(3, 20000), torch.randn(3, 20000)
    x, seen = x0 + sigma.view(-1, 1) * noise, []
    p.output(lambda scaled, level: seen.append((scaled, level)) or scaled, x, sigma)
    assert seen[0][0].std(1).tolist() == pytest.approx([1.0] * 3, rel=0.03)
    assert seen[0][1].tolist() == pytest.approx((np.log([0.02, 1.0, 60.0]) / 4).tolist())


def test_targets_of_edm_have_unit_variance_at_any_noise_level():
    p, sigma = process(), torch.tensor([0.02, 1.0, 60.0])
    x0, noise = torch.randn(3, 20000), torch.randn(3, 20000)
    x = x0 + sigma.view(-1, 1) * noise
    target = p.preconditioning(sigma, x).target(x0, x)
    assert target.std(1).tolist() == pytest.approx([1.0] * 3, rel=0.03)


def test_noise_levels_of_training_are_log_normal_or_a_schedule_s():
    random, cpu = torch.Generator().manual_seed(0), torch.device("cpu")
    logs = process().noise_levels(20000, random, cpu).log()
    assert logs.mean() == pytest.approx(-0.2, abs=0.05)
    assert logs.std() == pytest.approx(1.6, rel=0.03)
    paper = process("paper")
    levels = paper.noise_levels(20000, random, cpu)
    betas = np.linspace(0.002**0.5, 0.02**0.5, 1000) ** 2
    alphas = np.cumprod(1 - betas)
    assert levels.min() == pytest.approx(((1 - alphas[0]) / alphas[0]) ** 0.5, rel=1e-3)
    assert levels.max() == pytest.approx(((1 - alphas[-1]) / alphas[-1]) ** 0.5, rel=1e-3)
