"""Feature vectors in the brain, from a network that never saw a run's patients."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from workflow_scripts.autoencoder.codec import Codec, build_model, encode_slices
from workflow_scripts.autoencoder.settings import AutoencoderSettings
from workflow_scripts.common.device import device
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.prior import EMBEDDED, fitting_autoencoder
from workflow_scripts.common.subsets import evenly_chosen
from workflow_scripts.common.weights import load_config, settings_of

# Maximum number of vectors per patient, evenly spaced.
PLACES = 200
# Maximum number of principal components, and minimum number of vectors for each.
COMPONENTS = 32
VECTORS = 10


def load_judge(modalities: Sequence[str], labels: str, grid: Grid, seed: int) -> Codec:
    """The project's autoencoder for these modalities, this region set and this grid; if there is
    none, one of the embedded prior's layout with random weights.

    Neither was trained on a patient of the run. It computes in fp32.
    """
    if folder := fitting_autoencoder(modalities, labels, grid):
        return dataclasses.replace(Codec.load(folder), precision="fp32")
    folder = EMBEDDED / "autoencoder"
    settings = settings_of(load_config(folder), AutoencoderSettings, folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(settings, list(modalities), labels)
    model = model.eval().requires_grad_(False).to(device())
    return Codec(model, list(modalities), labels, grid, scale=1.0)


def _seen_by(layer: nn.Module, work: Callable[[], object]) -> list[torch.Tensor]:
    """The outputs of ``layer`` while ``work`` runs."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(
        lambda module, inputs, output: seen.append(output.float().cpu())
    )
    try:
        work()
    finally:
        hook.remove()
    return seen


def _where(
    inside: NDArray[np.bool_], shape: tuple[int, ...], down: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """Mask of the feature positions (``shape``), each ``down`` voxels wide, that are mostly
    foreground (X, Y, Z). Networks pad at the far end."""
    width = [(0, n * d - m) for n, d, m in zip(shape, down, inside.shape, strict=True)]
    volume = torch.from_numpy(np.pad(inside, width).astype(np.float32))[None, None]
    return torch.nn.functional.avg_pool3d(volume, down)[0, 0].numpy() > 0.5


def autoencoder_features(folder: Path, codec: Codec) -> NDArray[np.float64]:
    """Vectors (n, d) of the encoder's penultimate layer, inside the foreground of a patient."""
    patient = Patient(folder)
    classes = collapse(np.asarray(patient.label_slices), codec.labels)
    last = codec.model.encoder.blocks[-2]
    seen = _seen_by(
        last, lambda: list(encode_slices(codec.model, patient.slices, classes, codec.precision))
    )
    volume = torch.cat(seen).permute(2, 3, 0, 1)  # x, y, z, features
    down = patient.slices.shape[2] // volume.shape[0]
    where = _where(patient.foreground(), volume.shape[:3], (down, down, 1))
    vectors = volume[where].numpy()
    return vectors[evenly_chosen(len(vectors), PLACES)].astype(np.float64)


def principal_components(
    reference: NDArray[np.float64],
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A function from vectors (n, d) to their first principal components (n, k), fitted to the
    reference's vectors (m, d), with features standardised there.

    There are at most ``COMPONENTS`` and m / ``VECTORS`` components, so that their covariance has
    full rank.
    """
    mean, unit = reference.mean(0), np.maximum(reference.std(0), 1e-6)
    _, _, axes = np.linalg.svd((reference - mean) / unit, full_matrices=False)
    count = max(1, min(COMPONENTS, len(reference) // VECTORS))
    return lambda vectors: (vectors - mean) / unit @ axes[:count].T
