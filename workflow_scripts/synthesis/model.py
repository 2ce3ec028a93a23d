"""A model folder: all that is needed to synthesise patients, and nothing of the training ones
but the sizes, shapes and places of their tumours.

======================================  ===========================================================
``autoencoder/``, ``diffusion/``        ``weights.safetensors`` and ``config.json`` (network, grid,
                                        modalities, labels, latent and condition scaling)
``attributes.tsv``                      tumours of the training patients and their augmented copies
``sampling.json``                       how patients are sampled where the user says nothing
``template.nii.gz``                     MNI152 on the model's grid, to look at requests
======================================  ===========================================================
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.files import UserError
from workflow_scripts.common.provenance import checksum
from workflow_scripts.diffusion.generator import Generator

STAGES = ("autoencoder", "diffusion")
FILES = (
    *(f"{stage}/{name}" for stage in STAGES for name in ("weights.safetensors", "config.json")),
    "attributes.tsv",
    "sampling.json",
    "template.nii.gz",
)


@dataclass(frozen=True)
class SynthesisModel:
    """Codec and generator of one split, with the checksums of their weights."""

    codec: Codec
    generator: Generator
    weights_sha256: dict[str, str]

    @classmethod
    def of(cls, autoencoder: str | Path, diffusion: str | Path) -> "SynthesisModel":
        """Load the two model folders that these files of weights lie in."""
        weights = {"autoencoder": Path(autoencoder), "diffusion": Path(diffusion)}
        return cls(
            Codec.load(weights["autoencoder"].parent),
            Generator.load(weights["diffusion"].parent),
            {stage: checksum(path) for stage, path in weights.items()},
        )

    @classmethod
    def load(cls, folder: str | Path) -> "SynthesisModel":
        """Load an exported model folder; raises ``UserError`` naming the files that it lacks."""
        absent = [name for name in FILES if not Path(folder, name).is_file()]
        if absent:
            raise UserError(f"{folder}: is no model folder, {', '.join(absent)} are missing")
        return cls.of(*(Path(folder, stage, "weights.safetensors") for stage in STAGES))

    @property
    def brain(self) -> NDArray[np.bool_]:
        """Brain mask (X, Y, Z) of the decoded mean latent: where training brains are."""
        return self.codec.decode(self.generator.bundle.space.mean.numpy())[2]
