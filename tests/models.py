"""A model small enough for tests: untrained, FLAIR and T1ce; and conditions for it."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.model import SliceAutoencoder
from workflow_scripts.common.attributes import CONDITIONS
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import Scaling, latent_points
from workflow_scripts.diffusion.generator import Bundle, Generator, build_model
from workflow_scripts.diffusion.latents import LatentSpace
from workflow_scripts.diffusion.settings import DiffusionSettings
from workflow_scripts.synthesis.anatomies import NoAnatomies, OneAnatomy
from workflow_scripts.synthesis.model import SynthesisModel

SETTINGS = DiffusionSettings(
    anatomy="none", patch=(1, 1, 2), space="centred", widths=[8, 16], blocks=[1, 1], norm_groups=4,
    attention=[False, False], positions=True, maps=True, layout=None, preconditioning="edm",
    noise="lognormal", noise_mean=-0.2, noise_sd=1.6, timesteps=1000, beta_start=0.002,
    beta_end=0.02, loss="l2", tumour_share=0.2, coarse_share=0.5, correction=0,
    layout_repeats=1, drop=0.1, batch=4, steps=1, lr=1e-3, weight_decay=0, warm_up=0,
    decay="none", clip=None, ema_decay=0, precision="fp32",
)  # fmt: skip


def small_model(
    grid: Grid, codec: type[Codec] = Codec, anatomy: NDArray[np.uint8] | None = None
) -> SynthesisModel:
    """The model, with a codec of its own kind where a test wants one; it is told the ``anatomy`` of
    tissue maps (3, X, Y, Z), 0 to 255, or none."""
    settings = SETTINGS.model_copy(update={"anatomy": "none" if anatomy is None else "tissue"})
    torch.manual_seed(0)
    net = SliceAutoencoder(2, 2, 3, [8, 16], 1, 4, False, 2, True).eval().requires_grad_(False)
    space = LatentSpace((3, 8, 8, 24), (1, 1, 2), 0 if anatomy is None else 2)
    space.points.copy_(latent_points(grid, 4))
    denoiser = build_model(settings, space, grid)
    for weight in denoiser.parameters():
        if weight.ndim > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    scaling = Scaling([3.0, 8.0, 0.7, 0, -18, 5, 30, 30, 30], [1.0] * 9, [1.2, 1.2, 1.2])
    bundle = Bundle(denoiser.eval(), space).requires_grad_(False)
    built = codec(net, ["flair", "t1ce"], "whole_tumour", grid, 1.0)
    everywhere = np.ones(grid.shape, bool)
    generator = Generator(bundle, settings, scaling, grid, regions=True)
    anatomies = NoAnatomies() if anatomy is None else OneAnatomy(anatomy)
    return SynthesisModel(built, generator, anatomies, everywhere, {})


def random_attributes(count: int = 6, seed: int = 0) -> pd.DataFrame:
    """Tumour attributes drawn without a tumour."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.uniform(10, 30, count) for name in CONDITIONS})
    table["sphericity"] = rng.uniform(0.5, 0.9, count)
    return table
