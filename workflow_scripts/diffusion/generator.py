"""The generator: a trained denoiser with its sampler, from requests to stacked latents."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.common.device import autocast, device, exact
from workflow_scripts.common.fold import fold, unfold
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.weights import load_config, load_weights, settings_of
from workflow_scripts.diffusion.conditions import VECTOR, Scaling, ellipsoid_of
from workflow_scripts.diffusion.correction import Correction, Surroundings
from workflow_scripts.diffusion.latents import LatentSpace, empty_space, map_channels
from workflow_scripts.diffusion.layouts import (
    LAYOUT_SHAPE,
    build_layout,
    frame_points,
    label_of,
    layout_maps,
    layout_noise,
    unscaled,
)
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.process import Process, Sampler
from workflow_scripts.diffusion.settings import DiffusionConfig, DiffusionSettings


def build_model(settings: DiffusionSettings, space: LatentSpace, grid: Grid) -> StackDenoiser:
    """An untrained denoiser with the configured sizes, for the latents of a ``space`` on a
    ``grid``."""
    channels, *size = space.folded_shape
    down = grid.shape[0] // space.shape[1]
    return StackDenoiser(
        channels=channels,
        map_channels=map_channels(settings, down, space.shape[0]),
        conditions=VECTOR,
        size=tuple(size),
        widths=settings.widths,
        blocks=settings.blocks,
        norm_groups=settings.norm_groups,
        attention=settings.attention,
        positions=settings.positions,
    )


@dataclass(frozen=True)
class Conditioning:
    """The denoiser's inputs beside the noisy latents: condition ``vectors`` (B, ``VECTOR``),
    ``present`` (B,), False for the null condition, ``maps`` (B, m, h / px, w / py, Z / pz), and the
    ``surroundings`` if there is a correction."""

    vectors: Tensor
    present: Tensor
    maps: Tensor
    surroundings: Surroundings | None


class Bundle(torch.nn.Module):
    """All networks and buffers of a diffusion model folder.

    ``denoiser`` is that of latents, ``space`` the space it works in. ``layout`` is the denoiser of
    tumour layouts, ``None`` if they are not drawn first (``diffusion.layout``). ``correction`` is
    the linear correction of estimates, ``None`` without one (``diffusion.correction``).
    """

    def __init__(
        self,
        denoiser: StackDenoiser,
        space: LatentSpace,
        layout: StackDenoiser | None = None,
        correction: Correction | None = None,
    ) -> None:
        super().__init__()
        self.denoiser, self.space, self.layout = denoiser, space, layout
        self.correction = correction

    def condition(
        self,
        settings: DiffusionSettings,
        vectors: Tensor,
        ellipsoids: Tensor,
        present: Tensor,
        tissue: Tensor,
        rendered: Tensor,
    ) -> Conditioning:
        """The conditioning of B samples.

        ``vectors`` (B, ``VECTOR``), ``ellipsoids`` (B, 6) and ``present`` (B,) are those of
        ``conditions.py``. ``tissue`` (B, 3, X, Y, Z), 0 to 255, and ``rendered`` latents
        (B, C, h, w, Z) are those of the anatomy, (B, 0) without one.
        """
        maps = self.space.beside(ellipsoids, present, tissue, rendered, settings)
        surroundings = None
        if self.correction is not None:
            surroundings = self.space.surroundings(ellipsoids, tissue, rendered)
        return Conditioning(vectors, present, maps, surroundings)

    def estimate(
        self, process: Process, x: Tensor, sigma: Tensor, known: Conditioning, precision: str
    ) -> Tensor:
        """The estimate of the clean latents, corrected if there is a correction, from folded noisy
        latents ``x`` (B, C · patch, …) at noise levels ``sigma`` (B,). It is shaped like ``x``.

        The network computes in ``precision``, the correction in fp32.
        """
        with autocast(precision, x.device):
            estimate = process.denoised(
                lambda scaled, level: self.denoiser(
                    scaled, level, known.vectors, known.present, known.maps
                ),
                x,
                sigma,
            )
        if self.correction is None:
            return estimate
        patch = self.space.patch
        with exact(x.device):
            corrected = self.correction(
                unfold(estimate, patch), unfold(x, patch), sigma, known.surroundings
            )
        return fold(corrected, patch)


def build_bundle(settings: DiffusionSettings, space: LatentSpace, grid: Grid) -> Bundle:
    """All networks with the configured sizes, untrained, for the latents of a ``space``."""
    layout = build_layout(settings.layout) if settings.layout else None
    correction = Correction(space.shape[0]) if settings.correction else None
    return Bundle(build_model(settings, space, grid), space, layout, correction)


def load_bundle(folder: str | Path) -> tuple[Bundle, DiffusionSettings, Scaling]:
    """Networks, settings and scaling of the conditions from a model folder that
    ``train_diffusion`` wrote, on the CPU.

    Raises ``UserError`` for a folder whose files are missing or do not fit together.
    """
    config = load_config(folder, DiffusionConfig)
    settings = settings_of(config, DiffusionSettings, folder)
    shape, grid = config["latent_shape"], Grid.from_settings(config["grid"])
    space = empty_space(shape, grid, len(config["modalities"]), settings)
    bundle = build_bundle(settings, space, grid)
    load_weights(folder, bundle)
    return bundle, settings, Scaling(**config["scaling"])


@dataclass(frozen=True)
class Generator:
    """A trained model that turns requests into stacks of scaled latents.

    ``regions`` is whether the labels of the training patients distinguish regions of a tumour.
    """

    bundle: Bundle
    settings: DiffusionSettings
    scaling: Scaling
    grid: Grid
    regions: bool

    @classmethod
    def load(cls, folder: str | Path) -> "Generator":
        """Load a model folder that ``train_diffusion`` wrote, onto the GPU if there is one. Raises
        ``UserError`` as ``load_bundle`` does."""
        bundle, settings, scaling = load_bundle(folder)
        bundle.eval().requires_grad_(False).to(device())
        config = load_config(folder)
        grid = Grid.from_settings(config["grid"])
        return cls(bundle, settings, scaling, grid, config["regions"])

    @property
    def draws_labels(self) -> bool:
        """Whether labels of tumours are drawn before their images (``diffusion.layout``)."""
        return self.bundle.layout is not None

    @torch.inference_mode()
    def draw_labels(
        self,
        requests: pd.DataFrame,
        tissue: NDArray[np.uint8],
        room: NDArray[np.bool_],
        random: Sequence[torch.Generator],
        sampler: Sampler,
        precision: str,
    ) -> NDArray[np.uint8]:
        """Canonical labels (N, X, Y, Z) for ``requests`` with all nine attributes, one row each;
        all 0 if labels are not drawn first.

        ``tissue`` (N, 3, X, Y, Z), 0 to 255, are the tissue maps of each anatomy, ``room``
        (N, X, Y, Z) is the mask of voxels that can be tumour. Noise is drawn as in ``sample``.
        """
        network = self.bundle.layout
        if not self.draws_labels:
            return np.zeros((len(requests), *self.grid.shape), np.uint8)
        process = Process(layout_noise(self.settings))
        target = self.bundle.space.mean.device
        vectors = self.scaling.vectors(requests).to(target)
        points = frame_points(ellipsoid_of(requests).to(target))
        maps = layout_maps(torch.from_numpy(tissue).to(target), points, self.grid)

        def denoise(x: Tensor, sigma: Tensor, conditioned: bool) -> Tensor:
            present = torch.full((len(x),), conditioned, device=target)
            with autocast(precision, target):
                return process.denoised(
                    lambda scaled, level: network(scaled, level, vectors, present, maps), x, sigma
                )

        def noise() -> Tensor:
            drawn = [torch.randn(LAYOUT_SHAPE, generator=numbers) for numbers in random]
            return torch.stack(drawn).to(target)

        # Layouts from noise, then labels from layouts. The outlines' noise is drawn after that of
        # all steps, from the same generators.
        layouts = unscaled(sampler.sample(denoise, noise)).cpu().numpy()
        outlines = [torch.randn(self.grid.shape, generator=numbers).numpy() for numbers in random]
        rows = (row for _, row in requests.iterrows())
        parts = zip(layouts, rows, room, outlines, strict=True)
        return np.stack([label_of(*part, self.grid, self.regions) for part in parts])

    @torch.inference_mode()
    def sample(
        self,
        requests: pd.DataFrame,
        tissue: Tensor,
        rendered: Tensor,
        random: Sequence[torch.Generator],
        sampler: Sampler,
        precision: str,
        known: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Scaled latents (N, C, h, w, Z), on the CPU, for ``requests`` with all nine attributes,
        one row each.

        ``tissue`` (N, 3, X, Y, Z), 0 to 255, are the tissue maps of each anatomy. ``rendered``
        (N, C, h, w, Z) are the scaled latents of the anatomy, with the tumour if its label was
        drawn first. Both are (N, 0) for a denoiser without an anatomy. Each sample has a random
        number generator of its own in ``random``, on the CPU: its noise is the same in any batch
        and on any device.

        With ``known``, only a part of existing latents is replaced: it holds scaled latents
        (N, C, h, w, Z) ``k`` and the share (N, 1, h, w, Z) ``s``, 0 to 1, of each element that is
        sampled. Each step's estimate ``e`` becomes ``k + s (e - k)``.
        """
        space, process = self.bundle.space, Process(self.settings)
        torch_device = space.mean.device
        vectors = self.scaling.vectors(requests).to(torch_device)
        ellipsoids = ellipsoid_of(requests).to(torch_device)
        tissue, rendered = tissue.to(torch_device), rendered.to(torch_device)
        # The denoiser works on what is left of latents without the rendered ones.
        base = rendered if rendered.shape[1] else 0

        def noise() -> Tensor:
            drawn = [torch.randn(space.folded_shape, generator=numbers) for numbers in random]
            return torch.stack(drawn).to(torch_device)

        @functools.cache
        def conditioning(conditioned: bool) -> Conditioning:
            present = torch.full((len(requests),), conditioned, device=torch_device)
            return self.bundle.condition(
                self.settings, vectors, ellipsoids, present, tissue, rendered
            )

        def denoise(x: Tensor, sigma: Tensor, conditioned: bool) -> Tensor:
            return self.bundle.estimate(process, x, sigma, conditioning(conditioned), precision)

        keep = None
        if known:
            latents, anew = (part.to(torch_device) for part in known)
            stay = space.standardise(latents - base)
            share = fold(anew.expand(latents.shape), space.patch)

            def keep(estimate: Tensor) -> Tensor:
                return stay + share * (estimate - stay)

        return (space.restore(sampler.sample(denoise, noise, keep)) + base).cpu()
