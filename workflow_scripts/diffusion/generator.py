"""A trained denoiser as a generator of stacked latents."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from workflow_scripts.common.attributes import CONDITIONS
from workflow_scripts.common.weights import load_config, load_weights
from workflow_scripts.diffusion.conditions import MAPS, Scaling, draw_maps, place_of
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.settings import DiffusionSettings


def build_model(settings: DiffusionSettings, latent_channels: int) -> StackDenoiser:
    """The network that a configuration asks for."""
    return StackDenoiser(
        latent_channels=latent_channels,
        map_channels=MAPS if settings.maps else 0,
        conditions=len(CONDITIONS),
        slices_per_patch=settings.slices_per_patch,
        widths=settings.widths,
        blocks=settings.blocks,
        norm_groups=settings.norm_groups,
        attention=settings.attention,
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


class Statistics(torch.nn.Module):
    """Mean (C, h, w, Z) and standard deviation (C, 1, 1, 1) of the training latents, and the
    latent's positions in mm (3, h, w, Z): saved with the denoiser's weights."""

    def __init__(self, mean: Tensor, sd: Tensor, points: Tensor) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("sd", sd), ("points", points)):
            self.register_buffer(name, value)


class Bundle(torch.nn.Module):
    """What a diffusion model folder holds: the denoiser and the statistics it needs."""

    def __init__(self, denoiser: StackDenoiser, statistics: Statistics) -> None:
        super().__init__()
        self.denoiser, self.statistics = denoiser, statistics


@dataclass(frozen=True)
class Generator:
    """Requests to stacks of scaled latents."""

    bundle: Bundle
    process: Process
    scaling: Scaling
    maps: bool

    @classmethod
    def load(cls, folder: str | Path) -> "Generator":
        """Load a model folder written by ``train_diffusion``."""
        config = load_config(folder)
        settings = DiffusionSettings.model_validate(config["settings"])
        c, *size = config["latent_shape"]
        empty = Statistics(torch.zeros(c, *size), torch.ones(c, 1, 1, 1), torch.zeros(3, *size))
        bundle = Bundle(build_model(settings, c), empty)
        load_weights(folder, bundle)
        bundle.eval().requires_grad_(False)
        scaling = Scaling(**config["scaling"])
        return cls(bundle, build_process(settings), scaling, settings.maps)

    @torch.inference_mode()
    def sample(self, requests: pd.DataFrame, noise: Tensor, steps: int, guidance: float) -> Tensor:
        """Scaled latents (N, C, h, w, Z) for requests with all nine attributes, one row each.

        ``noise`` (N, C, h, w, Z) is standard normal.
        """
        statistics = self.bundle.statistics
        vectors, place = self.scaling.vectors(requests), place_of(requests)

        def denoise(x: Tensor, t: Tensor, conditioned: bool) -> Tensor:
            present = torch.full((len(x),), conditioned)
            maps = draw_maps(place, present, statistics.points) if self.maps else x[:, :0]
            return self.bundle.denoiser(x, t, vectors, present, maps)

        x = self.process.sample(denoise, noise, steps, guidance)
        return x * statistics.sd + statistics.mean
