"""CutMix in three dimensions."""

from typing import ClassVar

import numpy as np

from workflow_scripts.segmentation.mixing.volume import Volume, pasted


class CutMix:
    """A box of the donor replaces the same box of the target (Yun et al. 2019, arXiv 1905.04899).

    The target keeps a share λ ~ U(0, 1) of the voxels. The box has the block's proportions and a
    random centre in it, and is cut at the block's faces (their section 3.2, with a third axis).
    """

    around_tumour: ClassVar[bool] = False

    def __init__(self, spacing_mm: tuple[float, float, float]) -> None:
        """The voxel size does not matter: a box has the proportions of the block."""

    def __call__(self, target: Volume, donor: Volume, rng: np.random.Generator) -> Volume:
        shape = np.array(target.label.shape)
        half = shape * np.cbrt(1 - rng.uniform()) / 2
        middle = rng.uniform(0, shape)
        low = np.rint(middle - half).astype(int).clip(0, shape)
        high = np.rint(middle + half).astype(int).clip(0, shape)
        where = np.zeros(shape, bool)
        where[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
        return pasted(target, donor, where)
