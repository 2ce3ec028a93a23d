"""Synthetic patients from requests: sampled, decoded, measured, and drawn again where the tumour
is not the one that was asked for."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.training import generator as random_generator
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.requests import CENTROID
from workflow_scripts.synthesis.settings import SamplingSettings


@dataclass(frozen=True)
class Sample:
    """One synthetic patient: image (M, X, Y, Z), class labels and brain (X, Y, Z)."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    measured: dict[str, float]
    misfit: float
    attempts: int = 1

    @property
    def usable(self) -> bool:
        """Whether the patient has a tumour at all."""
        return self.measured["volume_ml"] > 0

    @property
    def accepted(self) -> bool:
        """Whether the tumour is the one that was asked for, within the tolerances."""
        return self.misfit <= 1


def misfit(request: pd.Series, measured: dict[str, float], settings: SamplingSettings) -> float:
    """How far a measured tumour is from the requested one, 1 being just tolerated.

    The larger of the ratio of volumes, in logarithms, and the distance of centroids, each in
    units of its tolerance; infinite without a tumour.
    """
    if not measured["volume_ml"]:
        return np.inf
    ratio = abs(np.log(measured["volume_ml"] / request["volume_ml"]))
    distance = np.linalg.norm([measured[name] - request[name] for name in CENTROID])
    misses = (
        ratio / np.log(settings.volume_tolerance),
        distance / settings.centroid_tolerance_mm,
    )
    return float(max(misses))


def _draw(
    requests: pd.DataFrame, attempt: int, model: SynthesisModel, settings: SamplingSettings
) -> list[Sample]:
    codec, generator = model.codec, model.generator
    shape = generator.bundle.space.mean.shape
    noise = torch.stack(
        [
            torch.randn(shape, generator=random_generator(int(seed), attempt))
            for seed in requests["seed"]
        ]
    )
    noise *= settings.temperature
    latents = generator.sample(requests, noise, settings.sampling_steps, settings.guidance)
    samples = []
    for latent, (_, request) in zip(latents.numpy(), requests.iterrows(), strict=True):
        image, label, brain = codec.decode(latent)
        measured = tumour_attributes(label, codec.grid.affine, brain)
        samples.append(Sample(image, label, brain, measured, misfit(request, measured, settings)))
    return samples


def synthesise(
    requests: pd.DataFrame, model: SynthesisModel, settings: SamplingSettings
) -> list[Sample]:
    """A sample for each of a batch of completed requests, in order, all held in memory.

    The noise of a sample comes from its request's seed and the attempt alone. Where the tumour is
    not the one asked for it is drawn again, and in the end the draw that came closest is kept.
    """
    best = _draw(requests, 0, model, settings)
    for attempt in range(1, settings.attempts):
        pending = [i for i, sample in enumerate(best) if not sample.accepted]
        if not pending:
            break
        for i, drawn in zip(
            pending, _draw(requests.iloc[pending], attempt, model, settings), strict=True
        ):
            closest = min(best[i], drawn, key=lambda sample: sample.misfit)
            best[i] = replace(closest, attempts=attempt + 1)
    return best
