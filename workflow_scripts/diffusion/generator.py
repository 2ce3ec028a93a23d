"""A trained denoiser as a generator of stacked latents."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from workflow_scripts.common.attributes import CONDITIONS
from workflow_scripts.common.device import autocast, device
from workflow_scripts.common.fold import fold
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.weights import load_config, load_weights, settings_of
from workflow_scripts.diffusion.conditions import Scaling, latent_points, place_of
from workflow_scripts.diffusion.latents import LatentSpace, empty_space, map_channels
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.prediction import predict
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings


def build_model(settings: DiffusionSettings, latent_channels: int) -> StackDenoiser:
    """The network that a configuration asks for."""
    return StackDenoiser(
        channels=latent_channels * math.prod(settings.patch),
        map_channels=map_channels(settings.patch) if settings.maps else 0,
        conditions=len(CONDITIONS),
        widths=settings.widths,
        blocks=settings.blocks,
        norm_groups=settings.norm_groups,
        attention=settings.attention,
        gains=settings.space == "centred",
    )


def build_process(settings: DiffusionSettings) -> Process:
    """The diffusion process that a configuration asks for."""
    return Process(
        settings.target,
        settings.schedule,
        settings.timesteps,
        settings.beta_start,
        settings.beta_end,
    )


class Bundle(torch.nn.Module):
    """What a diffusion model folder holds: the denoiser and the space it works in."""

    def __init__(self, denoiser: StackDenoiser, space: LatentSpace) -> None:
        super().__init__()
        self.denoiser, self.space = denoiser, space


def load_bundle(folder: str | Path) -> tuple[Bundle, DiffusionSettings, Scaling]:
    """What a model folder written by ``train_diffusion`` holds: the denoiser with its space, the
    settings that built it, and the scaling of its conditions."""
    config = load_config(folder)
    settings = settings_of(config, DiffusionSettings, folder)
    shape, grid = config["latent_shape"], Grid.from_settings(config["grid"])
    space = empty_space(shape, latent_points(grid, grid.shape[0] // shape[1]), settings)
    bundle = Bundle(build_model(settings, space.shape[0]), space)
    load_weights(folder, bundle)
    return bundle, settings, Scaling(**config["scaling"])


@dataclass(frozen=True)
class Generator:
    """Requests to stacks of scaled latents."""

    bundle: Bundle
    process: Process
    scaling: Scaling
    maps: bool

    @classmethod
    def load(cls, folder: str | Path) -> "Generator":
        """Load a model folder written by ``train_diffusion``, onto the GPU where there is one."""
        bundle, settings, scaling = load_bundle(folder)
        bundle.eval().requires_grad_(False).to(device())
        return cls(bundle, build_process(settings), scaling, settings.maps)

    @torch.inference_mode()
    def sample(
        self, requests: pd.DataFrame, noise: Tensor, steps: int, guidance: float, precision: str
    ) -> Tensor:
        """Scaled latents (N, C, h, w, Z) for requests with all nine attributes, one row each.

        ``noise`` (N, C, h, w, Z) is standard normal. What is returned lies on the processor.
        """
        space, where = self.bundle.space, self.bundle.space.mean.device
        vectors, place = self.scaling.vectors(requests).to(where), place_of(requests).to(where)

        def denoise(x: Tensor, t: Tensor, conditioned: bool) -> Tensor:
            present = torch.full((len(x),), conditioned, device=where)
            maps = space.maps(place, present) if self.maps else x[:, :0]
            condition = vectors, present, maps
            with autocast(precision, where):
                return predict(self.bundle.denoiser, space, self.process, x, t, condition)

        start = fold(noise.to(where), space.patch)
        variance = space.variance if len(space.variance) else 1.0
        made = self.process.sample(denoise, start, steps, guidance, variance)
        return space.restore(made).cpu()
