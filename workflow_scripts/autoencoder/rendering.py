"""The latents of a rendered patient, to which a denoiser adds: a brain, and a tumour in it."""

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.preprocess.contrasts import draw_contrasts, paint_regions


def render(
    contrasts: NDArray,
    tissue: NDArray,
    label: NDArray[np.uint8],
    intensities: NDArray,
    codec: Codec,
) -> NDArray[np.float32]:
    """Scaled latents (C, h, w, Z) of a rendered patient.

    The brain has tissue maps (3, X, Y, Z), 0 to 1, and ``contrasts`` (3, terms, M); each region of
    the canonical ``label`` (X, Y, Z) has its ``intensities`` (3, M). An empty label renders
    the brain without a tumour.
    """
    image = draw_contrasts(contrasts, tissue, codec.grid)
    return codec.encode(paint_regions(image, label, intensities), label)
