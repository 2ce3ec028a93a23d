"""What every training rule does around its training."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from workflow_scripts.common.provenance import training_key, write_provenance
from workflow_scripts.common.training import Training, fit


@contextlib.contextmanager
def training_job(
    snakemake: Any,
    training: Training,
    make_batch: Callable[[int], Any],
    precision_choice: str,
    workers: int = 0,
) -> Iterator[pd.DataFrame]:
    """Train as the rule says, and yield the losses by step for the block that saves the model.

    Checkpoints lie in a folder of the training's own that no rule declares, so that they survive
    a failed job; they are removed, and the provenance is written, once the block has saved all.
    """
    params = snakemake.params
    checkpoints = Path(params.checkpoints) / training_key(snakemake)
    yield fit(
        training,
        make_batch,
        seed=params.seed,
        checkpoints=checkpoints,
        log=params.tensorboard,
        precision_choice=precision_choice,
        workers=workers,
    )
    write_provenance(snakemake, snakemake.output.provenance)
    shutil.rmtree(checkpoints, ignore_errors=True)
