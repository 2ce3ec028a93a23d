"""The choices on the page: limits of the tumour, and brains."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError, read_table
from workflow_scripts.common.patients import steps_of
from workflow_scripts.synthesis.anatomies import RequestedAnatomies
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.request_table import PHANTOM


@dataclass(frozen=True)
class Limits:
    """The range of volume (mL) and sphericity of the training tumours.

    The model was evaluated within these limits (``evaluation/adherence.csv``); its behaviour
    outside them is unknown.
    """

    volume_ml: tuple[float, float]
    sphericity: tuple[float, float]

    @classmethod
    def of(cls, folder: Path) -> "Limits":
        """The limits of a model folder."""
        table = read_table(folder / "attributes.tsv")
        patients = table[table["copy"] == 0]
        volumes, sphericities = patients["volume_ml"], patients["sphericity"]
        return cls(
            (_inwards(volumes.min(), 1, np.ceil), _inwards(volumes.max(), 1, np.floor)),
            (_inwards(sphericities.min(), 2, np.ceil), _inwards(sphericities.max(), 2, np.floor)),
        )

    def refusal(self, volume_ml: float, sphericity: float) -> str | None:
        """Why such a tumour is refused; empty if it is within the limits."""
        for name, value, (low, high), unit in (
            ("volume", volume_ml, self.volume_ml, " mL"),
            ("sphericity", sphericity, self.sphericity, ""),
        ):
            if not low <= value <= high:
                return (
                    f"{name} {value:g}{unit}: this model was trained on tumours of {low:g} to "
                    f"{high:g}{unit}; choose one in between"
                )
        return None


def _inwards(value: float, digits: int, rounded) -> float:
    """A limit rounded to few digits, towards the inside of the range."""
    return float(rounded(value * 10**digits) / 10**digits)


@dataclass(frozen=True)
class Backdrop:
    """A brain to click on: an image and its mask (X, Y, Z)."""

    image: NDArray[np.float32]
    brain: NDArray[np.bool_]


def add_anatomies(model: SynthesisModel, folders: list[Path]) -> dict[str, Backdrop]:
    """Read the brains in folders (``read_brain``) that requests may name, each once, and return
    their images by their names in requests.

    Raises ``UserError`` if one is unusable, or the model takes no anatomy.
    """
    backdrops = {}
    for folder in folders:
        if not takes_anatomy(model):
            raise UserError("--anatomy: this model takes no anatomy (diffusion.anatomy: none)")
        brain = model.anatomies.brain(str(folder))
        model.anatomies.read[str(folder)] = steps_of(brain.tissue)
        backdrops[str(folder)] = Backdrop(brain.image[0], brain.brain)
    return backdrops


def takes_anatomy(model: SynthesisModel) -> bool:
    """Whether requests may name an anatomy."""
    return isinstance(model.anatomies, RequestedAnatomies)


def names_of(backdrops: dict[str, Backdrop]) -> list[tuple[str, str]]:
    """Names of anatomies and their titles, in the order of the page."""
    folders = [(name, Path(name).name) for name in backdrops]
    return [*folders, (PHANTOM, "a new phantom for each seed")]
