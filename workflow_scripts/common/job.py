"""The code around the training that all training rules share."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from workflow_scripts.common.device import device, resolve_precision
from workflow_scripts.common.fit import fit
from workflow_scripts.common.job_folder import kept_folder
from workflow_scripts.common.job_words import log_start
from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.training import Training


@contextlib.contextmanager
def training_job(
    snakemake: Any, training: Training, make_batch: Callable[[int], Any], learns_from: str
) -> Iterator[pd.DataFrame]:
    """Train as the rule requests, on its resource ``gpu`` GPUs if there are any, and yield the
    losses by step to the block that saves the model. The log starts with the device, the precision,
    the initial weights, and the data that it ``learns_from``.

    On a GPU, batches are prepared ahead by worker processes: one for each thread of the rule except
    one, and at least one.
    """
    prior = snakemake.input.get("prior")
    start = Path(prior).parent if prior else "random weights"
    log_start(training.optimiser.precision, f"starts from {start}; learns from {learns_from}")
    on_gpu = torch.cuda.is_available()
    devices = max(1, snakemake.resources.get("gpu", 1)) if on_gpu else 1
    more = {"precision": resolve_precision(training.optimiser.precision), "devices": str(devices)}
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
