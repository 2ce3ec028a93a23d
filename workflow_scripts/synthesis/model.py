"""A trained model, loaded: what synthesises patients."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.common.nifti import load_nifti
from workflow_scripts.common.provenance import checksum
from workflow_scripts.diffusion.generator import Generator
from workflow_scripts.synthesis.folder import STAGES, check_model_folder

# What a rule names as its inputs.
PARTS = (*STAGES, "brain")


@dataclass(frozen=True)
class SynthesisModel:
    """Codec and generator of one split, the brain (X, Y, Z) that requests are checked against,
    and the checksums of the weights."""

    codec: Codec
    generator: Generator
    brain: NDArray[np.bool_]
    weights_sha256: dict[str, str]

    @classmethod
    def of(
        cls, autoencoder: str | Path, diffusion: str | Path, brain: str | Path
    ) -> "SynthesisModel":
        """Load the model folders that these files of weights lie in, and a file of a brain."""
        weights = {"autoencoder": Path(autoencoder), "diffusion": Path(diffusion)}
        return cls(
            Codec.load(weights["autoencoder"].parent),
            Generator.load(weights["diffusion"].parent),
            load_nifti(brain)[0] > 0,
            {stage: checksum(path) for stage, path in weights.items()},
        )

    @classmethod
    def load(cls, folder: str | Path) -> "SynthesisModel":
        """Load an exported model folder; raises ``UserError`` naming the files that it lacks."""
        check_model_folder(folder)
        weights = [Path(folder, stage, "weights.safetensors") for stage in STAGES]
        return cls.of(*weights, Path(folder, "brain.nii.gz"))
