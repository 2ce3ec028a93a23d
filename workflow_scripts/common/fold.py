"""Folds neighbouring elements of a volume into channels, and back."""

from collections.abc import Sequence

from einops import rearrange
from torch import Tensor

# Number of elements along x, y and z that are folded into one.
Patch = Sequence[int]


def fold(x: Tensor, patch: Patch) -> Tensor:
    """(B, C, h, w, Z) to (B, C · px · py · pz, h / px, w / py, Z / pz)."""
    px, py, pz = patch
    return rearrange(
        x, "b c (h px) (w py) (z pz) -> b (c px py pz) h w z", px=px, py=py, pz=pz
    ).contiguous()


def unfold(x: Tensor, patch: Patch) -> Tensor:
    """The inverse of ``fold``."""
    px, py, pz = patch
    return rearrange(
        x, "b (c px py pz) h w z -> b c (h px) (w py) (z pz)", px=px, py=py, pz=pz
    ).contiguous()
