"""What the mixing augmentations share: a block of a patient, and how two of them become one."""

from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Volume(NamedTuple):
    """A block of a patient: standardised image (M, X, Y, Z), 0 outside the brain, canonical label
    (X, Y, Z) and brain (X, Y, Z)."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    brain: NDArray[np.bool_]


class Mixing(Protocol):
    """Makes one training sample of two patients, whose voxels have sides of ``spacing_mm``.

    ``around_tumour`` says which block of the donor is wanted: one whose middle is its tumour's, or
    the block at the same voxels as the target's.
    """

    around_tumour: ClassVar[bool]

    def __init__(self, spacing_mm: tuple[float, float, float]) -> None: ...

    def __call__(self, target: Volume, donor: Volume, rng: np.random.Generator) -> Volume:
        """The target with a part of the donor's block, of the same shape."""


def pasted(target: Volume, donor: Volume, where: NDArray[np.bool_]) -> Volume:
    """The target with the donor's voxels ``where`` (X, Y, Z): image, label and brain alike."""
    return Volume(
        np.where(where, donor.image, target.image),
        np.where(where, donor.label, target.label),
        np.where(where, donor.brain, target.brain),
    )
