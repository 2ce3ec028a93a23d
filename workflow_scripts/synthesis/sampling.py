"""Synthetic patients from requests: sampled, decoded, measured, and drawn again where empty."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.training import generator as random_generator
from workflow_scripts.diffusion.generator import Generator


@dataclass(frozen=True)
class Sample:
    """One synthetic patient: image (M, X, Y, Z), class labels and brain (X, Y, Z)."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    measured: dict[str, float]
    attempts: int

    @property
    def usable(self) -> bool:
        """Whether the patient has a tumour at all."""
        return self.measured["volume_ml"] > 0


def mean_brain(codec: Codec, generator: Generator) -> NDArray[np.bool_]:
    """Brain mask (X, Y, Z) of the decoded mean latent: where the training patients' brains are."""
    return codec.decode(generator.bundle.space.mean.numpy())[2]


def _draw(
    requests: pd.DataFrame,
    attempt: int,
    codec: Codec,
    generator: Generator,
    steps: int,
    guidance: float,
) -> list[Sample]:
    shape = generator.bundle.space.mean.shape
    noise = torch.stack(
        [
            torch.randn(shape, generator=random_generator(int(seed), attempt))
            for seed in requests["seed"]
        ]
    )
    latents = generator.sample(requests, noise, steps, guidance).numpy()
    samples = []
    for latent in latents:
        image, label, brain = codec.decode(latent)
        measured = tumour_attributes(label, codec.grid.affine, brain)
        samples.append(Sample(image, label, brain, measured, attempt + 1))
    return samples


def synthesise(
    requests: pd.DataFrame,
    codec: Codec,
    generator: Generator,
    *,
    steps: int,
    guidance: float,
    batch: int,
    attempts: int,
) -> Iterator[tuple[pd.Series, Sample]]:
    """Yield each completed request with its sample, in order, ``batch`` in memory at a time.

    The noise of a sample comes from its request's seed and the attempt alone, so that a patient
    is the same whichever others are asked for. A sample without a tumour is drawn again.
    """
    for first in range(0, len(requests), batch):
        part = requests.iloc[first : first + batch]
        samples: dict[int, Sample] = {}
        pending = list(range(len(part)))
        for attempt in range(attempts):
            drawn = _draw(part.iloc[pending], attempt, codec, generator, steps, guidance)
            samples.update(zip(pending, drawn, strict=True))
            pending = [i for i in pending if not samples[i].usable]
            if not pending:
                break
        for i in range(len(part)):
            yield part.iloc[i], samples[i]
