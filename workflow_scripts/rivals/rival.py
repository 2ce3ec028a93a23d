"""The interface of rivals."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from workflow_scripts.common.training import Training


class Rival(Protocol):
    """A generator of volumes (C, X, Y, Z): modalities, then soft nested masks, 0 to 1
    (``rival_volumes.py``).

    It is unconditional: no tumour is requested. It is built from its settings, the numbers of
    modalities and masks, and the shape of the volume.
    """

    def __init__(
        self, settings: Any, modalities: int, masks: int, shape: Sequence[int]
    ) -> None: ...

    def make_training(self, validation_volumes: list[Tensor], seed: int) -> "RivalTraining":
        """The training of this network; some select their weights on the validation patients."""

    def sample(self, random: torch.Generator) -> Tensor:
        """A volume (C, X, Y, Z)."""


class RivalTraining(Training):
    """A training whose batches are volumes (B, C, X, Y, Z)."""

    def trained(self) -> nn.Module:
        """The rival whose weights are saved, on the CPU."""
        raise NotImplementedError

    def validation(self) -> dict[int, float]:
        """Validation loss by step, if there is one."""
        return {}
