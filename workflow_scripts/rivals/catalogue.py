"""The rivals, by their words in arms."""

from pathlib import Path

from workflow_scripts.common.device import device
from workflow_scripts.common.weights import load_config, load_weights, settings_of
from workflow_scripts.rivals.gan3d import GAN3D
from workflow_scripts.rivals.ldm3d import LDM3D
from workflow_scripts.rivals.rival import Rival
from workflow_scripts.rivals.rival_volumes import MASKS
from workflow_scripts.rivals.settings import GAN3DSettings, LDM3DSettings

# Network and settings of each rival.
RIVALS: dict[str, tuple[type[Rival], type[GAN3DSettings | LDM3DSettings]]] = {
    "gan3d": (GAN3D, GAN3DSettings),
    "ldm3d": (LDM3D, LDM3DSettings),
}


def build_rival(
    name: str, settings: dict, modalities: list[str], labels: str, shape: list[int]
) -> Rival:
    """Build an untrained rival for volumes of ``shape`` (X, Y, Z)."""
    kind, values = RIVALS[name]
    return kind(values.model_validate(settings), len(modalities), MASKS[labels], shape)


def load_rival(folder: str | Path) -> Rival:
    """Load the trained rival of a model folder onto the device."""
    config = load_config(folder)
    name = config["rival"]
    settings = settings_of(config, RIVALS[name][1], folder).model_dump()
    shape = config["grid"]["shape"]
    model = build_rival(name, settings, config["modalities"], config["labels"], shape)
    load_weights(folder, model)
    return model.eval().to(device())
