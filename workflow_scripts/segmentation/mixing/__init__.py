"""Augmentations that mix two training patients, by their names in arms."""

from workflow_scripts.segmentation.mixing.carvemix import CarveMix
from workflow_scripts.segmentation.mixing.cutmix import CutMix
from workflow_scripts.segmentation.mixing.tumorcp import TumorCP
from workflow_scripts.segmentation.mixing.volume import Mixing, Volume
from workflow_scripts.segmentation.settings import words_of

__all__ = ["MIXINGS", "Mixing", "Volume", "mixing_of"]

MIXINGS: dict[str, type[Mixing]] = {"cutmix": CutMix, "carvemix": CarveMix, "tumorcp": TumorCP}


def mixing_of(arm: str, spacing_mm: tuple[float, float, float]) -> Mixing | None:
    """The mixing augmentation of an arm, for voxels of ``spacing_mm``; ``None`` if it has none."""
    return next((MIXINGS[word](spacing_mm) for word in words_of(arm) if word in MIXINGS), None)
