"""Code shared by the mixing augmentations."""

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
    """Mixes two patients with voxels of ``spacing_mm`` into one training sample.

    ``around_tumour`` selects the donor's block: centred on its tumour, or at the same voxels as the
    target's.
    """

    around_tumour: ClassVar[bool]

    def __init__(self, spacing_mm: tuple[float, float, float]) -> None: ...

    def __call__(self, target: Volume, donor: Volume, rng: np.random.Generator) -> Volume:
        """The target with a part of the donor's block; both have the same shape."""


def pasted(target: Volume, donor: Volume, where: NDArray[np.bool_]) -> Volume:
    """The target with the donor's image, label and brain in the voxels ``where`` (X, Y, Z)."""
    return Volume(
        np.where(where, donor.image, target.image),
        np.where(where, donor.label, target.label),
        np.where(where, donor.brain, target.brain),
    )
