"""Label maps: the schemes of public data sets, and the classes and regions of this workflow."""

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import InputError

# Raw value to canonical value. Canonical is BraTS 2023: 1 necrotic and non-enhancing core,
# 2 oedema, 3 enhancing tumour.
SCHEMES: dict[str, dict[int, int]] = {
    "brats2015": {1: 1, 2: 2, 3: 1, 4: 3},
    "brats2017": {1: 1, 2: 2, 4: 3},
    "brats2023": {1: 1, 2: 2, 3: 3},
    "brats2024": {1: 1, 2: 2, 3: 3, 4: 0},  # after treatment: 4 is the resection cavity
    "brats_ped2024": {1: 3, 2: 1, 3: 1, 4: 2},  # children: 1 enhancing, 3 cyst, 4 oedema
    "msd": {1: 2, 2: 1, 3: 3},
    "whole_tumour": {1: 2},
}

# Class values of each region, by region set.
REGIONS: dict[str, dict[str, tuple[int, ...]]] = {
    "whole_tumour": {"WT": (1,)},
    "subregions": {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)},
}


def canonical(raw: NDArray, scheme: str, where: str) -> NDArray[np.uint8]:
    """Map a raw label array of any shape to canonical values.

    ``where`` names the file for the message. Raises ``UserError`` for a value that the scheme does
    not define or that is no integer. A file with a scale factor may hold 0.9999999 for 1.
    """
    known = SCHEMES[scheme]
    if raw.dtype.kind == "f":
        rounded = np.rint(raw)
        raw = np.where(np.abs(raw - rounded) < 1e-3, rounded, raw)
    values = np.unique(raw)
    unknown = [float(v) for v in values if v != 0 and int(v) not in known or v != int(v)]
    if unknown:
        allowed = ", ".join(str(v) for v in (0, *known))
        raise InputError(
            where,
            f"label values {unknown[:5]} do not belong to the scheme '{scheme}', which has "
            f"{allowed}",
            f"choose the matching scheme (one of {', '.join(SCHEMES)})",
        )
    result = np.zeros(raw.shape, np.uint8)
    for value, target in known.items():
        result[raw == value] = target
    return result


def nested_masks(label: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Nested masks (3, …) of canonical labels (…): whole tumour, tumour core, and the core's
    necrotic and non-enhancing part."""
    return np.stack([label > 0, (label == 1) | (label == 3), label == 1])


def from_nested(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Canonical labels (…) of nested masks (3, …), the inverse of ``nested_masks``."""
    whole, core, necrosis = masks
    return np.select([necrosis, core, whole], [1, 3, 2], 0).astype(np.uint8)


def regions(labels: str) -> dict[str, tuple[int, ...]]:
    """Names of the scored regions, with the class values that make up each."""
    return REGIONS[labels]


def class_count(labels: str) -> int:
    """Number of classes, background included."""
    return 2 if labels == "whole_tumour" else 4


def collapse(label: NDArray[np.uint8], labels: str) -> NDArray[np.uint8]:
    """Canonical labels (any shape) to class values 0 … ``class_count - 1``."""
    return (label > 0).astype(np.uint8) if labels == "whole_tumour" else label
