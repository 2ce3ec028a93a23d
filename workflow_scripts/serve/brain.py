"""A model whose patients all get one brain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError
from workflow_scripts.common.patients import steps_of
from workflow_scripts.synthesis.anatomies import OneAnatomy, RequestedAnatomies
from workflow_scripts.synthesis.model import SynthesisModel


def in_brain(model: SynthesisModel, folder: Path) -> tuple[SynthesisModel, NDArray[np.float32]]:
    """The model with the anatomy of a folder (``read_brain``) for all requests, which are checked
    against that brain, and the first modality of the brain (X, Y, Z) to look at.

    The folder is read once. Raises ``UserError`` where it cannot be used, or the model takes none.
    """
    if not isinstance(model.anatomies, RequestedAnatomies):
        raise UserError("--anatomy: this model is told no anatomy (diffusion.anatomy: none)")
    brain = model.anatomies.brain(str(folder))
    one = OneAnatomy(steps_of(brain.tissue))
    return replace(model, anatomies=one, brain=brain.brain), brain.image[0]
