"""A subset of many items."""

import numpy as np
from numpy.typing import NDArray


def evenly_chosen(count: int, most: int) -> NDArray[np.int64]:
    """Indices of at most ``most`` of ``count`` items, in order and evenly spaced from the first to
    the last; all of them if there are no more."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)
