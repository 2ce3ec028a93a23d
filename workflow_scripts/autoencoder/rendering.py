"""The latents of a brain without a tumour, which a denoiser that is told an anatomy adds to."""

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.preprocess.contrasts import draw_contrasts


def render(contrasts: NDArray, tissue: NDArray, codec: Codec) -> NDArray[np.float32]:
    """Scaled latents (C, h, w, Z) of the image with ``contrasts`` (3, terms, M) of a brain with
    tissue maps (3, X, Y, Z), 0 to 1, and of an empty label."""
    image = draw_contrasts(contrasts, tissue, codec.grid)
    return codec.encode(image, np.zeros(codec.grid.shape, np.uint8))
