"""The base class of all trainings."""

import math
from typing import Any

import lightning as L
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.randomness import generator
from workflow_scripts.common.settings import OptimiserSettings


class Training(L.LightningModule):
    """A network, the moving average of its weights, and its optimiser.

    Subclasses define ``losses(batch, step)``. A stage saves the moving average. Lightning's own
    callback would average all of the module, including latent spaces and tables, and use the
    average only in Lightning's validation.
    """

    def __init__(self, model: torch.nn.Module, optimiser: OptimiserSettings) -> None:
        super().__init__()
        self.model = model
        self.average = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(optimiser.ema_decay), use_buffers=True
        )
        # Not synchronised between processes: each averages the same weights.
        self.average.requires_grad_(False)
        self.optimiser = optimiser

    def losses(self, batch: Any, step: int) -> dict[str, torch.Tensor]:
        """Losses of a batch by name; ``loss`` is minimised, the others are logged."""
        raise NotImplementedError

    def random(self, seed: int, step: int) -> torch.Generator:
        """Random generator of a step, on the network's device; each process has its own."""
        return generator(seed, step, 1 + local_rank(), device=self.device)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """One optimiser step, called by Lightning."""
        losses = self.losses(batch, batch_idx)
        self.log_dict(losses, prog_bar=True, sync_dist=True)
        return losses["loss"]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Make the step and update the moving average, before a checkpoint is written."""
        super().optimizer_step(*args, **kwargs)
        self.average.update_parameters(self.model)

    def configure_optimizers(self) -> dict:
        """AdamW with warm-up and decay."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        settings = self.optimiser
        adam = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, self._rate)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        steps = self.optimiser.steps
        warm_up = round(steps * self.optimiser.warm_up)
        if step < warm_up:
            return (step + 1) / warm_up
        if self.optimiser.decay == "none":
            return 1.0
        part = (step - warm_up) / max(1, steps - warm_up)
        return 0.5 * (1 + math.cos(part * math.pi))
