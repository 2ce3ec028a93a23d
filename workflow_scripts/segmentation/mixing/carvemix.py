"""CarveMix: a region of the donor that follows its tumour."""

from typing import ClassVar

import numpy as np
from scipy import ndimage

from workflow_scripts.segmentation.mixing.volume import Volume, pasted


class CarveMix:
    """The donor's tumour, shrunk or with a margin, replaces the target's voxels in its place
    (Zhang et al. 2021, arXiv 2108.06883).

    With D the signed distance to the tumour's surface, negative inside, the voxels of D <= λ are
    pasted; λ is from U(-d / 2, 0) or U(0, d), each with probability 1/2, d being the largest
    distance inside (equations 2 to 5 there; distances in mm). Without a tumour in the donor's
    block the target is left as it is.
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
