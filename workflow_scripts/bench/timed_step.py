"""The unit of work that a benchmark times."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from workflow_scripts.common.device import autocast, device

STEPS = ("autoencoder_train", "encode", "second_stage_train", "denoise", "decode")


@dataclass(frozen=True)
class TimedStep:
    """One step of a system: ``call`` processes ``count`` slices or volumes with ``networks`` in a
    ``precision``."""

    call: Callable[[], object]
    count: float
    per: Literal["slice", "volume"]
    networks: tuple[nn.Module, ...]
    precision: str

    @property
    def parameters(self) -> int:
        """Weights of the networks that the step uses."""
        return sum(p.numel() for network in self.networks for p in network.parameters())


def optimiser_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Callable[[], torch.Tensor],
    precision: str,
    clip: float | None = None,
) -> None:
    """Forward pass, backward pass and update, as in training."""
    with autocast(precision, device()):
        value = loss()
    value.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
