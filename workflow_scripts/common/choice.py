"""A part of many, for what need not look at all."""

import numpy as np
from numpy.typing import NDArray


def evenly_chosen(count: int, most: int) -> NDArray[np.int64]:
    """Indices of at most ``most`` of ``count`` things, in order and evenly spread from the first to
    the last; of all, where there are no more."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)
