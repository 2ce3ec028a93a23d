"""What is predicted of noisy latents: a Gaussian's answer and the network's correction."""

from torch import Tensor

from workflow_scripts.diffusion.latents import LatentSpace
from workflow_scripts.diffusion.model import StackDenoiser
from workflow_scripts.diffusion.process import Process


def predict(
    denoiser: StackDenoiser,
    space: LatentSpace,
    process: Process,
    x: Tensor,
    t: Tensor,
    condition: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """What the process predicts at x_t: the Gaussian answer of the space, where it has one, and
    the network's correction.

    ``condition`` is (standardised conditions, presence, maps), as the denoiser takes them.
    """
    found = denoiser(x, t, *condition).float()
    if not space.is_gaussian:
        return found
    expected = process.prediction(space.expected(x, *process.factors(t, x)), x, t)
    if denoiser.reliance is not None:
        expected = expected * denoiser.reliance.view(-1, 1, 1, 1)
    return expected + found
