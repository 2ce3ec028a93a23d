"""Synthetic patients from requests: sampled, decoded, measured, and drawn again where the tumour
is not the one that was asked for."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.randomness import generator as random_generator
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.request_table import CENTROID
from workflow_scripts.synthesis.settings import SamplingSettings


@dataclass(frozen=True)
class Sample:
    """One synthetic patient: image (M, X, Y, Z), class labels and brain (X, Y, Z)."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    measured: dict[str, float]
    misfits: dict[str, float]
    attempts: int = 1

    @property
    def usable(self) -> bool:
        """Whether the patient has a tumour at all."""
        return self.measured["volume_ml"] > 0

    @property
    def misfit(self) -> float:
        """How far the tumour is from the requested one, 1 being just tolerated."""
        return max(self.misfits.values())

    @property
    def outcome(self) -> str:
        """``met`` where the tumour is the one asked for, within the tolerances; otherwise what is
        most wrong with it: ``volume``, ``place``, or that it is ``missing``."""
        return "met" if self.misfit <= 1 else max(self.misfits, key=self.misfits.get)


def misfits(
    request: pd.Series, measured: dict[str, float], settings: SamplingSettings
) -> dict[str, float]:
    """How far a measured tumour is from the requested one, 1 being just tolerated.

    By ``volume``, the logarithm of the volumes' ratio, and ``place``, the distance of the
    centroids, each in units of its tolerance; infinitely far, ``missing``, without a tumour.
    """
    if not measured["volume_ml"]:
        return {"missing": np.inf}
    ratio = abs(np.log(measured["volume_ml"] / request["volume_ml"]))
    distance = np.linalg.norm([measured[name] - request[name] for name in CENTROID])
    return {
        "volume": float(ratio / np.log(settings.volume_tolerance)),
        "place": float(distance / settings.centroid_tolerance_mm),
    }


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
    latents = generator.sample(
        requests, noise, settings.sampling_steps, settings.guidance, settings.precision
    )
    samples = []
    for latent, (_, request) in zip(latents.numpy(), requests.iterrows(), strict=True):
        image, label, brain = codec.decode(latent)
        measured = tumour_attributes(label, codec.grid.affine, brain)
        apart = misfits(request, measured, settings)
        samples.append(Sample(image, label, brain, measured, apart))
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
        pending = [i for i, sample in enumerate(best) if sample.misfit > 1]
        if not pending:
            break
        for i, drawn in zip(
            pending, _draw(requests.iloc[pending], attempt, model, settings), strict=True
        ):
            closest = min(best[i], drawn, key=lambda sample: sample.misfit)
            best[i] = replace(closest, attempts=attempt + 1)
    return best
