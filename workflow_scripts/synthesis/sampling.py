"""Synthetic patients from requests: sampled, decoded, measured, and drawn again where the patient
is not the one that was asked for."""

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

# Holes of a label are filled. With more than this share of the tumour's voxels it is drawn again.
HOLES = 0.02


@dataclass(frozen=True)
class Draw:
    """What one draw gave: the tumour's attributes with ``brain_pieces`` and ``hole_voxels``, and
    how far it is from the request (``misfits``)."""

    measured: dict[str, float]
    misfits: dict[str, float]

    @property
    def usable(self) -> bool:
        """Whether the patient has a tumour at all."""
        return self.measured["volume_ml"] > 0

    @property
    def misfit(self) -> float:
        """How far the patient is from the requested one, 1 being just tolerated."""
        return max(self.misfits.values())

    @property
    def outcome(self) -> str:
        """``met`` where the patient is the one asked for, within the tolerances; otherwise what is
        most wrong with it: ``volume``, ``place``, ``torn``, ``holes``, or that it is
        ``missing``."""
        return "met" if self.misfit <= 1 else max(self.misfits, key=self.misfits.get)


@dataclass(frozen=True)
class Sample(Draw):
    """One synthetic patient: image (M, X, Y, Z), class labels and brain (X, Y, Z) of the draw that
    was kept, and what the ``first`` draw gave."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    first: Draw
    attempts: int = 1


def misfits(
    request: pd.Series, measured: dict[str, float], settings: SamplingSettings, voxel_ml: float
) -> dict[str, float]:
    """How far a measured patient is from the requested one, 1 being just tolerated.

    ``volume`` is the logarithm of the volumes' ratio and ``place`` the distance of the centroids,
    each in units of its tolerance. The brain and the label are whole or not: ``torn`` is 0 for a
    brain in one large piece, otherwise the number of pieces; ``holes`` is 0 where the label's holes
    are at most the share ``HOLES`` of the tumour, otherwise that share more than 1. A patient
    without a tumour is infinitely far, ``missing``.
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
    """The patient that scaled latents (C, h, w, Z) hold, measured against its request; the tumour
    ``where`` (X, Y, Z) it was made, if elsewhere a patient's own may be.

    The brain's pieces are counted before all but the largest is cut away, and the label's holes
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
    room = model.room(requests, tissue)
    labels = model.generator.draw_labels(requests, tissue, room, *noise)
    background, known = model.background(requests, labels), None
    if background:
        known = background.latents, background.anew
        intensities = background.contrasts, background.intensities
        if model.generator.draws_labels:
            labels = np.where(background.labels > 0, background.labels, labels)
    else:
        intensities = model.contrasts(random)
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
    """A sample for each of a batch of completed requests, in order, all held in memory.

    The noise of a sample comes from its request's seed and the attempt alone. Where the patient is
    not the one asked for it is drawn again, in the same anatomy, and in the end the draw that came
    closest is kept.
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
