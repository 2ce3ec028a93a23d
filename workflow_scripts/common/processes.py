"""The processes of one job, and the machine that they share."""

import os
from pathlib import Path


def local_rank() -> int:
    """Which of the processes that train together this is: 0 for the first, which alone writes what
    the job makes. Lightning runs a job's script once more for each further device."""
    return int(os.environ.get("LOCAL_RANK", 0))


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, told without importing torch, which takes seconds."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
