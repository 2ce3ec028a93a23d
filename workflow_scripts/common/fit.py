"""Training with Lightning; a run that was killed resumes and reaches the same result.

Batches, noise and augmentation are functions of the seed and the step alone: a checkpoint needs
no random state, and a resumed run sees what an unbroken one would have seen.
"""

import datetime
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader, Dataset, Sampler

from workflow_scripts.common.callbacks import History, StagedCheckpoints, StopWhenAsked, TimeLeft
from workflow_scripts.common.device import device, resolve_precision
from workflow_scripts.common.files import UserError
from workflow_scripts.common.machine import WRITING
from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.settings import OptimiserSettings
from workflow_scripts.common.training import Training

LIGHTNING = {"bf16": "bf16-mixed", "fp32": "32-true"}


class _Steps(Sampler):
    """The remaining steps. Its length includes the finished ones, as Lightning expects."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps = first, steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.steps))

    def __len__(self) -> int:
        return self.steps


class _Batches(Dataset):
    """The batch of each step; each of n processes takes every n-th sample of it."""

    def __init__(self, make_batch: Callable[[int], Any], rank: int, processes: int) -> None:
        self.make_batch, self.rank, self.processes = make_batch, rank, processes

    def __getitem__(self, step: int) -> Any:
        batch = self.make_batch(step)
        if self.processes == 1:
            return batch
        if len(batch[0]) % self.processes:
            raise UserError(
                f"a batch of {len(batch[0])} cannot be divided equally among {self.processes} "
                f"devices; "
                "change the stage's batch, or the gpu resource of the rule"
            )
        return tuple(part[self.rank :: self.processes] for part in batch)


def _trainer(
    optimiser: OptimiserSettings, callbacks: list[Callback], log: str | Path, **where: Any
) -> L.Trainer:
    """A trainer for so many steps, on the devices in ``where``."""
    return L.Trainer(
        max_epochs=1,
        max_steps=optimiser.steps,
        precision=LIGHTNING[resolve_precision(optimiser.precision)],
        gradient_clip_val=optimiser.clip,
        callbacks=callbacks,
        # A cluster's own environment would count its tasks; here Lightning starts the processes.
        plugins=[StagedCheckpoints(), LightningEnvironment()],
        use_distributed_sampler=False,
        logger=TensorBoardLogger(log, name="", version=""),
        log_every_n_steps=max(1, optimiser.steps // 100),
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        **where,
    )


def fit(
    module: Training,
    make_batch: Callable[[int], Any],
    *,
    seed: int,
    checkpoints: str | Path,
    log: str | Path,
    checkpoint_seconds: float = 300,
    workers: int = 0,
    devices: int = 1,
    accelerator: str | None = None,
) -> pd.DataFrame:
    """Train for the steps of ``module.optimiser``, from the last checkpoint if there is one.

    ``make_batch(step)`` returns the batch of a step, always the same: a tuple of tensors (B, …).
    Checkpoints are written to ``checkpoints``, losses for TensorBoard to ``log``. Several devices
    share each batch; each further device has a process that runs this script. Returns the losses by
    step. Raises ``UserError`` after a SIGTERM, SIGUSR1 or SIGINT, once a checkpoint is written, and
    if a batch cannot be divided among the devices.
    """
    L.seed_everything(seed, verbose=False)
    last = Path(checkpoints) / "last.ckpt"
    first = 0
    if last.exists():
        first = torch.load(last, map_location="cpu", weights_only=True, mmap=True)["global_step"]
        logging.getLogger(__name__).info("resuming from step %d: %s", first, last)
    # Lightning's hints about hardware and add-ons do not belong in a workflow's log.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    steps = module.optimiser.steps
    history, stop = History(steps), StopWhenAsked(last)
    saver = ModelCheckpoint(
        dirpath=last.parent,
        filename=last.stem,
        train_time_interval=datetime.timedelta(seconds=checkpoint_seconds),
        enable_version_counter=False,
    )
    # The history comes first, so that checkpoints of later callbacks include the last step's
    # losses.
    callbacks = [history, stop, saver, TimeLeft()]
    where = {"accelerator": accelerator or device().type, "devices": devices}
    where["strategy"] = "ddp" if devices > 1 else "auto"
    trainer = _trainer(module.optimiser, callbacks, log, **where)
    loader = DataLoader(
        _Batches(make_batch, local_rank(), devices),
        batch_size=None,
        sampler=_Steps(first, steps),
        num_workers=workers,
    )
    with warnings.catch_warnings(), stop.listening():
        # Expected warnings: batches are read by the training process and depend on the step only;
        # LeafSpec is Lightning's own business.
        for known in ("many workers", "resuming from a checkpoint", "not empty", "LeafSpec"):
            warnings.filterwarnings("ignore", message=f".*{known}.*")
        try:
            trainer.fit(
                module, loader, ckpt_path=last if last.exists() else None, weights_only=True
            )
        except BaseException as error:
            # TensorBoard's files are written by a thread, whose errors name no file.
            error.add_note(f"{WRITING}{log}")
            # Lightning's other processes would wait long for this one.
            if devices > 1 and not local_rank():
                trainer.strategy.launcher.kill(signal.SIGKILL)
            raise
    return pd.DataFrame(history.rows)
