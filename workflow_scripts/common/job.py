"""What every training rule does around its training."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from workflow_scripts.common.keep import kept_folder
from workflow_scripts.common.training import Training, fit


@contextlib.contextmanager
def training_job(
    snakemake: Any,
    training: Training,
    make_batch: Callable[[int], Any],
    precision_choice: str,
    workers: int = 0,
) -> Iterator[pd.DataFrame]:
    """Train as the rule says, and yield the losses by step for the block that saves the model."""
    with kept_folder(snakemake) as folder:
        yield fit(
            training,
            make_batch,
            seed=snakemake.params.seed,
            checkpoints=folder,
            log=snakemake.params.tensorboard,
            precision_choice=precision_choice,
            checkpoint_seconds=snakemake.resources.checkpoint_seconds,
            workers=workers,
        )
