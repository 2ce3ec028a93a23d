"""Model folders: weights as safetensors, with the configuration that rebuilds the network."""

from pathlib import Path
from typing import TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from workflow_scripts.common.files import UserError, read_json, staged, write_json
from workflow_scripts.common.machine import out_of_memory
from workflow_scripts.common.settings import Section, check_values

Settings = TypeVar("Settings", bound=Section)


def save_model(folder: str | Path, model: torch.nn.Module, config: dict) -> None:
    """Write ``weights.safetensors`` and ``config.json`` into ``folder``."""
    folder = Path(folder)
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    with staged(folder / "weights.safetensors") as temporary:
        save_file(state, temporary)
    write_json(config, folder / "config.json")


def load_config(folder: str | Path, kind: type[Section] | None = None) -> dict:
    """Read a model folder's ``config.json``.

    Raises ``UserError`` if this is no model folder, or a value does not fit ``kind``.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise UserError(f"{folder}: is no model folder, config.json is missing")
    config = read_json(path)
    if kind:
        check_values(config, kind, path)
    return config


def settings_of(
    config: dict, kind: type[Settings], folder: str | Path, name: str = "settings"
) -> Settings:
    """The settings under ``name`` in a model folder's ``config.json``.

    Raises ``UserError`` for a missing or unknown key, since another version wrote the folder.
    """
    try:
        return kind.model_validate(config.get(name, {}))
    except ValidationError as error:
        keys = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        raise UserError(
            f"{folder}: was written by another version of this code, whose settings differ in "
            f"{keys}; use that version, or train the model again"
        ) from None


def load_weights(folder: str | Path, model: torch.nn.Module) -> None:
    """Load ``weights.safetensors`` into a network with the same layers; no code is executed.

    Raises ``UserError`` if it is damaged, has values that are not finite, or other layers, since
    another version wrote it.
    """
    path = Path(folder) / "weights.safetensors"
    try:
        weights = load_file(path)
        if not all(torch.isfinite(weight).all() for weight in weights.values()):
            raise UserError(f"{path}: has values that are not finite; train the model again")
        model.load_state_dict(weights)
    except SafetensorError as error:
        raise UserError(f"{path}: is damaged, or only a pointer to the file ({error})") from error
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise UserError(
            f"{folder}: weights.safetensors was written by another version of this code, whose "
            "networks differ; use that version, or train the model again"
        ) from None
