"""The processes of one job, and their machine."""

import multiprocessing
import os
import threading
from pathlib import Path


def local_rank() -> int:
    """The rank of this process among those that train together. Only rank 0 writes the job's
    outputs. Lightning runs a job's script again for each further device."""
    return int(os.environ.get("LOCAL_RANK", 0))


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, without importing torch, which takes seconds."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def end_with_parent() -> None:
    """End this process when its parent has ended, so that a killed job stops writing."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
