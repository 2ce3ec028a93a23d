"""Synthetic patients from requests: sampled, decoded, measured, and drawn again if they do not meet
the request."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from workflow_scripts.autoencoder.codec import Codec, cut_out
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.masks import brain_pieces, fill_holes, hole_voxels
from workflow_scripts.common.randomness import generator as random_generator
from workflow_scripts.diffusion.process import Sampler
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.request_table import CENTROID
from workflow_scripts.synthesis.settings import SamplingSettings

# A label's holes are filled. If they exceed this share of the tumour, it is drawn again.
HOLES = 0.02


@dataclass(frozen=True)
class Draw:
    """The result of a draw: the tumour's attributes with ``brain_pieces`` and ``hole_voxels``, and
    its deviations from the request (``misfits``)."""

    measured: dict[str, float]
    misfits: dict[str, float]

    @property
    def usable(self) -> bool:
        """Whether the patient has a tumour."""
        return self.measured["volume_ml"] > 0

    @property
    def misfit(self) -> float:
        """The largest deviation from the request; up to 1 is tolerated."""
        return max(self.misfits.values())

    @property
    def outcome(self) -> str:
        """``met`` if the request is met within the tolerances; otherwise the largest deviation:
        ``volume``, ``place``, ``torn``, ``holes`` or ``missing``."""
        return "met" if self.misfit <= 1 else max(self.misfits, key=self.misfits.get)


@dataclass(frozen=True)
class Sample(Draw):
    """A synthetic patient: image (M, X, Y, Z), class labels and brain (X, Y, Z) of the selected
    draw, and the result of the ``first`` draw."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    first: Draw
    attempts: int = 1


def misfits(
    request: pd.Series, measured: dict[str, float], settings: SamplingSettings, voxel_ml: float
) -> dict[str, float]:
    """Deviations of a measured patient from its request; up to 1 is tolerated.

    ``volume`` is the logarithm of the volumes' ratio and ``place`` the distance of the centroids,
    each in units of its tolerance. ``torn`` is 0 for a brain in one large piece, otherwise the
    number of pieces. ``holes`` is 0 if the label's holes are at most the share ``HOLES`` of the
    tumour, otherwise 1 plus that share. A patient without a tumour has an infinite deviation,
    ``missing``.
    """
    if not measured["volume_ml"]:
        return {"missing": np.inf}
    ratio = abs(np.log(measured["volume_ml"] / request["volume_ml"]))
    distance = np.linalg.norm([measured[name] - request[name] for name in CENTROID])
    holes = measured["hole_voxels"] * voxel_ml / measured["volume_ml"]
    return {
        "volume": float(ratio / np.log(settings.volume_tolerance)),
        "place": float(distance / settings.centroid_tolerance_mm),
        "torn": float(pieces) if (pieces := measured["brain_pieces"]) > 1 else 0.0,
        "holes": float(1 + holes) if holes > HOLES else 0.0,
    }


def decoded(
    request: pd.Series,
    latent: NDArray,
    codec: Codec,
    settings: SamplingSettings,
    where: NDArray[np.bool_] | None = None,
) -> Sample:
    """Decode a patient from scaled latents (C, h, w, Z), and measure it against its request. The
    tumour is measured within ``where`` (X, Y, Z), if a patient's own tumour may lie elsewhere.

    The brain's pieces are counted before all but the largest are removed, and the label's holes
    before they are filled.
    """
    image, label = codec.decode_uncut(latent)
    voxel_ml = codec.grid.voxel_ml
    pieces = brain_pieces(image, voxel_ml)
    image, label, brain = cut_out(image, label)
    where = np.ones(label.shape, bool) if where is None else where
    holes = hole_voxels(label * where > 0)
    label = fill_holes(label, where)
    measured = tumour_attributes(label * where, codec.grid.affine, brain)
    measured |= {"brain_pieces": pieces, "hole_voxels": holes}
    draw = Draw(measured, misfits(request, measured, settings, voxel_ml))
    return Sample(draw.measured, draw.misfits, image, label, brain, draw)


def _draw(
    requests: pd.DataFrame,
    tissue: NDArray[np.uint8],
    attempt: int,
    model: SynthesisModel,
    settings: SamplingSettings,
) -> list[Sample]:
    random = [random_generator(int(seed), attempt) for seed in requests["seed"]]
    sampler = Sampler(
        settings.sampling_steps,
        settings.sigma_max,
        settings.sigma_min,
        settings.stochasticity,
        settings.guidance,
        settings.order,
    )
    noise = random, sampler, settings.precision
    # First the tumour's layout, for denoisers with one.
    room = model.room(requests, tissue)
    labels = model.generator.draw_labels(requests, tissue, room, *noise)
    # Implanted patients keep the latents, contrasts and label of a training patient's background.
    background, known = model.background(requests, labels), None
    if background:
        known = background.latents, background.anew
        intensities = background.contrasts, background.intensities
        if model.generator.draws_labels:
            labels = np.where(background.labels > 0, background.labels, labels)
    else:
        intensities = model.contrasts(random)
    intensities = intensities[0], model.vary_tumours(*intensities, random)
    # Then the whole patient, given the rendered image.
    anatomy = torch.from_numpy(tissue), model.rendered(tissue, labels, *intensities)
    latents = model.generator.sample(requests, *anatomy, *noise, known)
    where = background.measured if background else [None] * len(requests)
    return [
        decoded(request, latent, model.codec, settings, measured)
        for latent, measured, (_, request) in zip(
            latents.numpy(), where, requests.iterrows(), strict=True
        )
    ]


def synthesise(
    requests: pd.DataFrame, model: SynthesisModel, settings: SamplingSettings
) -> list[Sample]:
    """Synthesise a sample for each request of a batch, in order; all are held in memory.

    The noise of a sample depends only on its request's seed and the attempt. A patient that does
    not meet its request is drawn again in the same anatomy, and finally the closest draw is
    selected.
    """
    tissue = model.anatomies.tissue(requests)
    best = _draw(requests, tissue, 0, model, settings)
    for attempt in range(1, settings.attempts):
        pending = [i for i, sample in enumerate(best) if sample.misfit > 1]
        if not pending:
            break
        again = _draw(requests.iloc[pending], tissue[pending], attempt, model, settings)
        for i, drawn in zip(pending, again, strict=True):
            closest = min(best[i], drawn, key=lambda sample: sample.misfit)
            best[i] = replace(closest, first=best[i].first, attempts=attempt + 1)
    return best
