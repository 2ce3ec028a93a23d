"""Arrays on disk that are larger than memory, or very many."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class StoredRows:
    """The rows of an array file (N, …), each read when it is asked for.

    A file that stays mapped counts as memory as far as it was read, and as an open file; here it
    is mapped for the time of a reading alone.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.shape = np.load(self.path, mmap_mode="r").shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray:
        return np.array(np.load(self.path, mmap_mode="r")[index])
