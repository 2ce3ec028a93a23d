"""What two networks see in patients: feature vectors of places in the brain."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from workflow_scripts.autoencoder.codec import Codec, encode_slices
from workflow_scripts.common.choice import evenly_chosen
from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient
from workflow_scripts.segmentation.segmenter import Segmenter, predict_masks
from workflow_scripts.segmentation.volumes import whole

# A patient gives so many vectors at most, evenly chosen.
PLACES = 200


def _seen_by(layer: nn.Module, work: Callable[[], object]) -> list[torch.Tensor]:
    """What ``layer`` gives while ``work`` runs."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, given, made: seen.append(made.float().cpu()))
    try:
        work()
    finally:
        hook.remove()
    return seen


def _evenly(vectors: NDArray) -> NDArray[np.float64]:
    return vectors[evenly_chosen(len(vectors), PLACES)].astype(np.float64)


def _where(
    inside: NDArray[np.bool_], shape: tuple[int, ...], down: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """Those of the features' places, ``shape`` of them and ``down`` voxels wide, that lie in the
    foreground (X, Y, Z) for the most part. Networks pad at the far end."""
    width = [(0, n * d - m) for n, d, m in zip(shape, down, inside.shape, strict=True)]
    volume = torch.from_numpy(np.pad(inside, width).astype(np.float32))[None, None]
    return torch.nn.functional.avg_pool3d(volume, down)[0, 0].numpy() > 0.5


def autoencoder_features(folder: Path, codec: Codec) -> NDArray[np.float64]:
    """Vectors (n, d) of the encoder's last layer but one, inside the foreground of a patient."""
    patient = Patient(folder)
    classes = collapse(np.asarray(patient.label_slices), codec.labels)
    last = codec.model.encoder.blocks[-2]
    seen = _seen_by(
        last, lambda: list(encode_slices(codec.model, patient.slices, classes, codec.precision))
    )
    volume = torch.cat(seen).permute(2, 3, 0, 1)  # x, y, z, features
    down = patient.slices.shape[2] // volume.shape[0]
    where = _where(patient.foreground(), volume.shape[:3], (down, down, 1))
    return _evenly(volume[where].numpy())


def segmentation_features(folder: Path, segmenter: Segmenter) -> NDArray[np.float64]:
    """Vectors (n, d) of the segmentation network's bottleneck, inside a patient's foreground."""
    image, _, inside = whole(Patient(folder))
    network = segmenter.network
    # The whole volume at once: windows would overlap.
    once = segmenter.settings.model_copy(update={"patch": None})
    (seen,) = _seen_by(network.unet.bottleneck, lambda: predict_masks(network, image, once))
    volume = seen[0].permute(1, 2, 3, 0)
    where = _where(inside, volume.shape[:3], (network.multiple,) * 3)
    return _evenly(volume[where].numpy())
