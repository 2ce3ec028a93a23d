"""What Lightning does beside a training: the history of losses, whole checkpoints, an end in
time."""

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
    """Losses averaged over a hundredth of the run; part of the checkpoint. Ends a training whose
    loss is not finite."""

    def __init__(self, steps: int) -> None:
        self.every = max(1, steps // 100)
        self.rows: list[dict[str, float]] = []
        self.sums: dict[str, torch.Tensor | float] = {}
        self.count = 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        for name, value in trainer.callback_metrics.items():
            # Not a number yet: to read one from a GPU is to wait for it.
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()
        self.count += 1
        if trainer.global_step % self.every == 0:
            means = {name: float(total) / self.count for name, total in self.sums.items()}
            if not all(map(math.isfinite, means.values())):
                raise UserError(
                    f"the loss became NaN or infinite in the {self.count} steps before step "
                    f"{trainer.global_step}; take a smaller lr, or precision: fp32"
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
    """Says now and then how far a training is, what the loss is, and how long it will take."""

    progress: Progress

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.progress = Progress(trainer.max_steps, "steps", first=trainer.global_step)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        # To read a loss from a GPU is to wait for it.
        if trainer.is_global_zero and self.progress.due:
            loss = float(trainer.callback_metrics["loss"])
            self.progress.done(trainer.global_step, f", loss {loss:.3g}")


class StagedCheckpoints(TorchCheckpointIO):
    """Checkpoints written beside their place and moved there.

    Lightning's own pass through the system's folder for temporary files, from where a move to
    another disk is a copy that a kill can cut.
    """

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        with staged(path) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


ENDS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopWhenAsked(Callback):
    """On SIGTERM or SIGUSR1, as a cluster sends them at the end of a job's time, or SIGINT, as
    Ctrl-C does: finish the step, write a checkpoint, and end the script as not done.

    A cluster may send the signal several times. Once asked, the handler stays until the script
    has ended, so that the next one does not cut short what the first one asked for.
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
        """Heed the signals within the block, from before Lightning sets its own handlers to
        after it has put back those it found."""
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
        # All processes end after the same step, whichever was asked.
        if trainer.strategy.reduce_boolean_decision(self.stop_requested, all=False):
            trainer.save_checkpoint(self.checkpoint)
            raise UserError(
                f"stopped when asked, after step {trainer.global_step}; the next run goes on there"
            )
