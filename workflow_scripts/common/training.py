"""Training by Lightning, so that a run that was killed goes on to the same result.

Batches, noise and augmentation are functions of the seed and the step alone: a checkpoint needs
no random state, and a resumed run sees what an unbroken one would have seen.
"""

import contextlib
import datetime
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, Sampler

from workflow_scripts.common.files import UserError, staged


class Training(L.LightningModule):
    """A network, the moving average of its weights, and its optimiser.

    Subclasses give ``losses(batch, step)``. AdamW with a linear warm-up over the first twentieth
    of the steps, then a cosine down to 0; the moving average is what a stage saves in the end.
    """

    def __init__(
        self, model: torch.nn.Module, steps: int, lr: float, ema_decay: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.model = model
        self.average = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True
        )
        self.steps, self.lr, self.weight_decay = steps, lr, weight_decay

    def losses(self, batch: Any, step: int) -> dict[str, torch.Tensor]:
        """Losses of a batch by name; ``loss`` is minimised, the others are logged."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """One optimiser step, called by Lightning."""
        losses = self.losses(batch, batch_idx)
        self.log_dict(losses, prog_bar=True)
        return losses["loss"]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Make the step and let the moving average follow, before any checkpoint is written."""
        super().optimizer_step(*args, **kwargs)
        self.average.update_parameters(self.model)

    def configure_optimizers(self) -> dict:
        """AdamW with warm-up and cosine decay."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _rate(self, step: int) -> float:
        warm_up = max(1, self.steps // 20)
        if step < warm_up:
            return (step + 1) / warm_up
        part = (step - warm_up) / max(1, self.steps - warm_up)
        return 0.5 * (1 + float(torch.cos(torch.tensor(part * torch.pi))))


class _Steps(Sampler):
    """Steps still to be made. Its length counts those made already too, as Lightning does."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps = first, steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.steps))

    def __len__(self) -> int:
        return self.steps


class _Batches(Dataset):
    def __init__(self, make_batch: Callable[[int], Any]) -> None:
        self.make_batch = make_batch

    def __getitem__(self, step: int) -> Any:
        return self.make_batch(step)


class _History(Callback):
    """Losses averaged over a hundredth of the run; part of the checkpoint."""

    def __init__(self, steps: int) -> None:
        self.every = max(1, steps // 100)
        self.rows: list[dict[str, float]] = []
        self.sums: dict[str, float] = {}
        self.count = 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        for name, value in trainer.callback_metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.count += 1
        if trainer.global_step % self.every == 0:
            means = {name: total / self.count for name, total in self.sums.items()}
            self.rows.append({"step": trainer.global_step, **means})
            self.sums, self.count = {}, 0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "sums": self.sums, "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.sums = state_dict["rows"], state_dict["sums"]
        self.count = state_dict["count"]


class _StagedCheckpoints(TorchCheckpointIO):
    """Checkpoints written beside their place and moved there.

    Lightning's own pass through the system's folder for temporary files, from where a move to
    another disk is a copy that a kill can cut.
    """

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        with staged(path) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


class _StopWhenAsked(Callback):
    """On SIGTERM, as a cluster sends it at the end of a job's time, or SIGINT, as Ctrl-C does:
    finish the step, write a checkpoint, and end the script as not done.

    A cluster may send the signal several times. Once asked, the handler stays until the script
    has ended, so that the next one does not cut short what the first one asked for.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.asked = False

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def _listen(self) -> dict[int, Any]:
        return {n: signal.signal(n, self._ask) for n in (signal.SIGTERM, signal.SIGINT)}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Heed the signals within the block, from before Lightning sets its own handlers to
        after it has put back those it found."""
        before = self._listen()
        try:
            yield
        finally:
            if not self.asked:
                for number, handler in before.items():
                    signal.signal(number, handler)

    def on_train_start(self, *_: Any) -> None:
        self._listen()  # Lightning's handler of SIGTERM would end the training without a checkpoint

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if self.asked:
            trainer.save_checkpoint(self.checkpoint)
            raise UserError(
                f"stopped when asked, after step {trainer.global_step}; the next run goes on there"
            )


def precision(choice: str) -> str:
    """Lightning's name for a configured precision: ``fp32``, ``bf16``, or ``auto``.

    ``auto`` is bf16 where the device computes in it, since elsewhere it is slower than fp32.
    """
    if choice == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            flags = torch.cpu.get_capabilities()
            fast = bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
        choice = "bf16" if fast else "fp32"
    return {"bf16": "bf16-mixed", "fp32": "32-true"}[choice]


def fit(
    module: Training,
    make_batch: Callable[[int], Any],
    *,
    seed: int,
    checkpoints: str | Path,
    log: str | Path,
    precision_choice: str,
    checkpoint_seconds: float = 300,
    workers: int = 0,
) -> pd.DataFrame:
    """Train for ``module.steps`` steps, going on from the last checkpoint where there is one.

    ``make_batch(step)`` gives the batch of a step, the same each time. Checkpoints are written
    to ``checkpoints``, losses for TensorBoard to ``log``. Returns the losses by step. Raises
    ``UserError`` after a SIGTERM or SIGINT, once a checkpoint is written.
    """
    L.seed_everything(seed, verbose=False)
    last = Path(checkpoints) / "last.ckpt"
    first = 0
    if last.exists():
        first = torch.load(last, map_location="cpu", weights_only=True, mmap=True)["global_step"]
        logging.getLogger(__name__).info("going on from step %d: %s", first, last)
    # Lightning's hints about hardware and add-ons are no news to a workflow's log.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    history = _History(module.steps)
    keep = ModelCheckpoint(
        dirpath=Path(checkpoints),
        filename="last",
        train_time_interval=datetime.timedelta(seconds=checkpoint_seconds),
        enable_version_counter=False,
    )
    stop = _StopWhenAsked(last)
    progress = TQDMProgressBar(refresh_rate=max(1, module.steps // 50))
    trainer = L.Trainer(
        max_epochs=1,
        max_steps=module.steps,
        precision=precision(precision_choice),
        accelerator="auto",
        gradient_clip_val=1.0,
        # The history comes first: what is saved by those behind it holds the last step's losses.
        callbacks=[history, stop, keep, progress],
        plugins=[_StagedCheckpoints()],
        logger=TensorBoardLogger(log, name="", version=""),
        log_every_n_steps=max(1, module.steps // 100),
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    loader = DataLoader(
        _Batches(make_batch),
        batch_size=None,
        sampler=_Steps(first, module.steps),
        num_workers=workers,
    )
    with warnings.catch_warnings(), stop.listening():
        # Batches are mapped from disk by the training process, and follow from the step alone.
        for known in ("does not have many workers", "resuming from a checkpoint", "not empty"):
            warnings.filterwarnings("ignore", message=f".*{known}.*")
        trainer.fit(module, loader, ckpt_path=last if last.exists() else None, weights_only=True)
    return pd.DataFrame(history.rows)


def generator(*seeds: int) -> torch.Generator:
    """A random generator of its own for each tuple of integers, whatever was drawn before."""
    state = int(np.random.SeedSequence((len(seeds), *seeds)).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)
