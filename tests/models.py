"""A model small enough for tests: untrained, on 32 × 32 × 24 voxels, FLAIR and T1ce."""

import numpy as np
import torch

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.model import SliceAutoencoder
from workflow_scripts.common.attributes import CONDITIONS
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import Scaling, latent_points
from workflow_scripts.diffusion.generator import Bundle, Generator
from workflow_scripts.diffusion.latents import LatentSpace, map_channels
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.process import Process
from workflow_scripts.synthesis.model import SynthesisModel


def small_model(grid: Grid, codec: type[Codec] = Codec) -> SynthesisModel:
    """The model, with a codec of its own kind where a test wants one."""
    torch.manual_seed(0)
    net = SliceAutoencoder(2, 2, 3, [8, 16], 1, 4, False, 2, True).eval().requires_grad_(False)
    denoiser = StackDenoiser(
        6, map_channels((1, 1, 2)), len(CONDITIONS), [8, 16], 1, 4, [False, False]
    )
    for weight in denoiser.parameters():
        if weight.ndim > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    space = LatentSpace((3, 8, 8, 24), (1, 1, 2), 0)
    space.points.copy_(latent_points(grid, 4))
    scaling = Scaling([3.0, 8.0, 0.7, 0, -18, 5, 30, 30, 30], [1.0] * 9, [1.2, 1.2, 1.2])
    bundle = Bundle(denoiser.eval(), space).requires_grad_(False)
    process = Process("velocity", "cosine", 1000, 0.002, 0.02)
    built = codec(net, ["flair", "t1ce"], "whole_tumour", grid, 1.0)
    everywhere = np.ones(grid.shape, bool)
    return SynthesisModel(built, Generator(bundle, process, scaling, maps=True), everywhere, {})
