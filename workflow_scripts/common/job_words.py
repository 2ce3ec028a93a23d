"""The first lines of a job's log: device, precision and initial weights."""

import logging
import os

import torch

from workflow_scripts.common.device import resolve_precision


def device_words(choice: str) -> str:
    """The device and the precision in words, for a configured precision."""
    if torch.cuda.is_available():
        name = f"GPU ({torch.cuda.get_device_name()})"
    else:
        threads = torch.get_num_threads()
        name = f"CPU, {threads} thread{'s'[: threads != 1]}"
    return f"device {name}; precision {resolve_precision(choice)}"


def log_start(choice: str, more: str) -> None:
    """Log device and precision, then ``more``; warn if this job has a GPU that torch cannot use."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") and not torch.cuda.is_available():
        logging.warning(
            "this job has a GPU, but torch cannot use it: check the driver, and that torch is a "
            "CUDA build (docs/gpu.md); the job runs on the CPU"
        )
    logging.info("%s; %s", device_words(choice), more)
