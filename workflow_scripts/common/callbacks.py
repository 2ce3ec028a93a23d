"""Callbacks for training with Lightning: loss history, atomic checkpoints, stopping on a signal."""

import contextlib
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import TorchCheckpointIO

from workflow_scripts.common.files import UserError, staged
from workflow_scripts.common.progress import Progress


class History(Callback):
    """Losses, each averaged over a hundredth of the steps; saved in the checkpoint. Stops a
    training whose loss is not finite."""

    def __init__(self, steps: int) -> None:
        self.every = max(1, steps // 100)
        self.rows: list[dict[str, float]] = []
        self.sums: dict[str, torch.Tensor | float] = {}
        self.count = 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        for name, value in trainer.callback_metrics.items():
            # Kept as a tensor: reading the number would wait for the GPU.
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()
        self.count += 1
        if trainer.global_step % self.every == 0:
            means = {name: float(total) / self.count for name, total in self.sums.items()}
            if not all(map(math.isfinite, means.values())):
                raise UserError(
                    f"the loss became NaN or infinite in the {self.count} steps before step "
                    f"{trainer.global_step}; use a smaller lr, or precision: fp32"
                )
            self.rows.append({"step": trainer.global_step, **means})
            self.sums, self.count = {}, 0

    def state_dict(self) -> dict[str, Any]:
        sums = {name: float(total) for name, total in self.sums.items()}
        return {"rows": self.rows, "sums": sums, "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.sums = state_dict["rows"], state_dict["sums"]
        self.count = state_dict["count"]


class TimeLeft(Callback):
    """Logs the step, the loss and the remaining time at intervals."""

    progress: Progress

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.progress = Progress(trainer.max_steps, "steps", first=trainer.global_step)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        # Reading the loss waits for the GPU.
        if trainer.is_global_zero and self.progress.due:
            loss = float(trainer.callback_metrics["loss"])
            self.progress.done(trainer.global_step, f", loss {loss:.3g}")


class StagedCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written beside their target and then moved.

    Lightning writes to the system's temporary folder. From there, moving to another disk is a copy,
    which a kill can interrupt.
    """

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        with staged(path) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


ENDS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopWhenAsked(Callback):
    """On SIGTERM or SIGUSR1 (sent by a cluster at the end of a job's time) or SIGINT (Ctrl-C):
    finish the step, write a checkpoint, and end the script as unfinished.

    A cluster may send the signal several times. The handler stays until the script has ended, so
    that a further signal does not interrupt the checkpoint.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.stop_requested = False

    def _ask(self, *_: Any) -> None:
        self.stop_requested = True

    def _listen(self) -> dict[int, Any]:
        return {number: signal.signal(number, self._ask) for number in ENDS}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals within the block, from before Lightning installs its own handlers
        until after it has restored the previous ones."""
        before = self._listen()
        try:
            yield
        finally:
            if not self.stop_requested:
                for number, handler in before.items():
                    signal.signal(number, handler)

    def on_train_start(self, *_: Any) -> None:
        self._listen()  # Lightning's handler of SIGTERM would end the training without a checkpoint

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        # All processes stop after the same step, whichever received the signal.
        if trainer.strategy.reduce_boolean_decision(self.stop_requested, all=False):
            trainer.save_checkpoint(self.checkpoint)
            raise UserError(
                f"stopped by a signal after step {trainer.global_step}; the next run resumes there"
            )
