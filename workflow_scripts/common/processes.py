"""The processes of one job, and the machine that they share."""

import multiprocessing
import os
import threading
from pathlib import Path


def local_rank() -> int:
    """Which of the processes that train together this is: 0 for the first, which alone writes what
    the job makes. Lightning runs a job's script once more for each further device."""
    return int(os.environ.get("LOCAL_RANK", 0))


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, told without importing torch, which takes seconds."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def end_with_parent() -> None:
    """End this process when the one that started it is gone: a killed job writes no longer."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
