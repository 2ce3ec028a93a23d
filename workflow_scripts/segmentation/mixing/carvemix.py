"""CarveMix: pastes a region around the donor's tumour."""

from typing import ClassVar

import numpy as np
from scipy import ndimage

from workflow_scripts.segmentation.mixing.volume import Volume, pasted


class CarveMix:
    """The donor's tumour, shrunk or with a margin, replaces the target's voxels at the same
    position (Zhang et al. 2021, arXiv 2108.06883).

    Voxels with D <= λ are pasted, where D is the signed distance to the tumour's surface, negative
    inside, and λ is from U(-d / 2, 0) or U(0, d), each with probability 1/2, with d the largest
    distance inside (their equations 2 to 5; distances in mm). Without a tumour in the donor's block
    the target is unchanged.
    """

    around_tumour: ClassVar[bool] = False

    def __init__(self, spacing_mm: tuple[float, float, float]) -> None:
        self.spacing_mm = spacing_mm

    def __call__(self, target: Volume, donor: Volume, rng: np.random.Generator) -> Volume:
        tumour = donor.label > 0
        if not tumour.any():
            return target
        inside = ndimage.distance_transform_edt(tumour, self.spacing_mm)
        deepest = inside.max()
        below = rng.random() < 0.5
        margin = rng.uniform(-deepest / 2, 0) if below else rng.uniform(0, deepest)
        if tumour.all():
            return pasted(target, donor, inside >= -margin)
        distance = ndimage.distance_transform_edt(~tumour, self.spacing_mm) - inside
        return pasted(target, donor, distance <= margin)
