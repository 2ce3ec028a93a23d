"""What every training rule does around its training."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from workflow_scripts.common.device import arithmetic, device
from workflow_scripts.common.fit import fit
from workflow_scripts.common.job_words import log_start
from workflow_scripts.common.keep import kept_folder
from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.training import Training


@contextlib.contextmanager
def training_job(
    snakemake: Any, training: Training, make_batch: Callable[[int], Any], learns_from: str
) -> Iterator[pd.DataFrame]:
    """Train as the rule says, on as many GPUs as its resource ``gpu`` counts where there are any,
    and yield the losses by step for the block that saves the model. The log begins with the device,
    the precision, the weights that training starts from, and what it ``learns_from``.

    A GPU is fed by processes that make batches ahead: one for each thread of the rule but its own,
    and at least one.
    """
    prior = snakemake.input.get("prior")
    start = Path(prior).parent if prior else "random weights"
    log_start(training.optimiser.precision, f"starts from {start}; learns from {learns_from}")
    on_gpu = torch.cuda.is_available()
    devices = max(1, snakemake.resources.get("gpu", 1)) if on_gpu else 1
    more = {"arithmetic": arithmetic(training.optimiser.precision), "devices": str(devices)}
    more["device"] = device().type
    with kept_folder(snakemake, **more) as folder:
        losses = fit(
            training,
            make_batch,
            seed=snakemake.params.seed,
            checkpoints=folder,
            log=snakemake.params.tensorboard,
            checkpoint_seconds=snakemake.resources.checkpoint_seconds,
            workers=max(1, snakemake.threads - 1) if on_gpu else 0,
            devices=devices,
        )
        if local_rank():
            sys.exit()
        yield losses
