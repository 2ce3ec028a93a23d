"""Arrays on disk that are larger than memory, or very numerous."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class StoredRows:
    """The rows of an array file (N, …), each read on access.

    A mapped file counts as memory, as far as it was read, and as an open file; here it is mapped
    only while a row is read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.shape = np.load(self.path, mmap_mode="r").shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray:
        return np.array(np.load(self.path, mmap_mode="r")[index])


def write_row(path: str | Path, index: int, count: int, row: NDArray) -> None:
    """Write one of ``count`` rows of an array file; the first, ``index`` 0, creates the file with
    its shape and type."""
    if not index:
        np.lib.format.open_memmap(path, "w+", row.dtype, (count, *row.shape))
    # Mapped again for each row: a mapped file counts as memory.
    np.load(path, mmap_mode="r+")[index] = row


def pack_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A mask (X, Y, Z), or several (n, X, Y, Z), packed with eight voxels per byte: (⌈nXYZ/8⌉,)."""
    return np.packbits(mask)


def unpack_mask(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The inverse of ``pack_mask`` for masks of this shape. A shape (X, Y, Z) gives the first of
    several. Raises ``ValueError`` if fewer were packed."""
    if 8 * len(bits) < np.prod(shape):
        raise ValueError(f"{len(bits)} bytes do not hold masks of shape {shape}")
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape) > 0
