"""What can be chosen on the page: tumours like those that the model learned from, and brains."""

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
    """The smallest and the largest training tumour in mL and in sphericity.

    Requests were measured within these limits (``evaluation/adherence.csv``): beyond them nothing
    is known of what the model makes.
    """

    volume_ml: tuple[float, float]
    sphericity: tuple[float, float]

    @classmethod
    def of(cls, folder: Path) -> "Limits":
        """Those of a model folder."""
        table = read_table(folder / "attributes.tsv")
        patients = table[table["copy"] == 0]
        volumes, sphericities = patients["volume_ml"], patients["sphericity"]
        return cls(
            (_inwards(volumes.min(), 1, np.ceil), _inwards(volumes.max(), 1, np.floor)),
            (_inwards(sphericities.min(), 2, np.ceil), _inwards(sphericities.max(), 2, np.floor)),
        )

    def refusal(self, volume_ml: float, sphericity: float) -> str | None:
        """Why such a tumour is refused; nothing where it is within the limits."""
        for name, value, (low, high), unit in (
            ("volume", volume_ml, self.volume_ml, " mL"),
            ("sphericity", sphericity, self.sphericity, ""),
        ):
            if not low <= value <= high:
                return (
                    f"{name} {value:g}{unit}: this model learned from tumours of {low:g} to "
                    f"{high:g}{unit}; choose one in between"
                )
        return None


def _inwards(value: float, digits: int, rounded) -> float:
    """A limit with few digits, which is not beyond the value itself."""
    return float(rounded(value * 10**digits) / 10**digits)


@dataclass(frozen=True)
class Backdrop:
    """A brain to click on: an image and its mask (X, Y, Z)."""

    image: NDArray[np.float32]
    brain: NDArray[np.bool_]


def add_anatomies(model: SynthesisModel, folders: list[Path]) -> dict[str, Backdrop]:
    """Read the brains of folders (``read_brain``) that requests may name, each once, and return
    what is shown of them by the name that a request has for it.

    Raises ``UserError`` where one cannot be used, or the model takes none.
    """
    backdrops = {}
    for folder in folders:
        if not takes_anatomy(model):
            raise UserError("--anatomy: this model is told no anatomy (diffusion.anatomy: none)")
        brain = model.anatomies.brain(str(folder))
        model.anatomies.read[str(folder)] = steps_of(brain.tissue)
        backdrops[str(folder)] = Backdrop(brain.image[0], brain.brain)
    return backdrops


def takes_anatomy(model: SynthesisModel) -> bool:
    """Whether requests may name an anatomy."""
    return isinstance(model.anatomies, RequestedAnatomies)


def names_of(backdrops: dict[str, Backdrop]) -> list[tuple[str, str]]:
    """Names of anatomies with what the page calls them, in the order of the page."""
    folders = [(name, Path(name).name) for name in backdrops]
    return [*folders, (PHANTOM, "a new phantom for each seed")]
