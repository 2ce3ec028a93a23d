"""The conditional denoiser of stacked latents."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Number of frequencies at which the noise level is embedded, with the lowest and the highest.
FREQUENCIES = 32
LOWEST, HIGHEST = 0.25, 16.0
# Channels of one head of the self-attention.
HEAD_CHANNELS = 32


class StackDenoiser(nn.Module):
    """A 3-D U-Net over a stack of slice latents (section 2.3 of Kebaili et al., ISBI 2024).

    It works in the ``LatentSpace``. Noise level and condition vector go through an MLP each; their
    sum modulates every block. A learned vector replaces that of the condition for the null
    condition. Maps of the requested tumour and of the anatomy are further input channels. With
    ``positions``, blocks below the first resolution add a learned vector at each position, since
    all patients lie in the same template space.
    """

    def __init__(
        self,
        channels: int,
        map_channels: int,
        conditions: int,
        size: tuple[int, int, int],
        widths: list[int],
        blocks: list[int],
        norm_groups: int,
        attention: list[bool],
        positions: bool,
    ) -> None:
        """``channels`` of the latents and ``map_channels`` of the maps beside them, ``conditions``
        numbers in a condition vector, and the latents' ``size`` along x, y and z, which halves from
        one resolution to the next. ``widths`` (channels), ``blocks`` and ``attention`` have one
        value per resolution.
        """
        super().__init__()
        embedding = 4 * max(widths)
        self.level = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.condition = nn.Sequential(
            nn.Linear(conditions, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        # The last condition distinguishes patients from a prior's phantoms. Before training it has
        # no effect, so a prior treats patients as phantoms.
        with torch.no_grad():
            self.condition[0].weight[:, -1] = 0
        self.null = nn.Parameter(torch.zeros(embedding))
        ratio = math.log(HIGHEST / LOWEST)
        frequencies = LOWEST * torch.exp(torch.linspace(0, ratio, FREQUENCIES))
        self.register_buffer("frequencies", frequencies, persistent=False)

        def stack(number: int, channels: int) -> "Blocks":
            at = [n // 2**number for n in size] if positions and number else None
            return Blocks(
                channels, widths[number], blocks[number], embedding, norm_groups,
                attention[number], at,
            )  # fmt: skip

        lower = list(range(1, len(widths)))
        self.first = nn.Conv3d(channels + map_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList([stack(0, widths[0])])
        self.shrink, self.grow, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for number in lower:
            self.shrink.append(nn.Conv3d(widths[number - 1], widths[number], 2, stride=2))
            self.down.append(stack(number, widths[number]))
        for number in reversed(lower):
            self.grow.append(nn.ConvTranspose3d(widths[number], widths[number - 1], 2, stride=2))
            self.up.append(stack(number - 1, 2 * widths[number - 1]))
        self.norm = nn.GroupNorm(norm_groups, widths[0])
        self.last = nn.Conv3d(widths[0], channels, 3, padding=1)
        _silence(self.last)

    def forward(
        self, x: Tensor, level: Tensor, conditions: Tensor, present: Tensor, maps: Tensor
    ) -> Tensor:
        """The prediction (B, C, h, w, z) for scaled noisy latents ``x`` (B, C, h, w, z).

        ``level`` (B,) is the embedded noise level (``Process.output``), ``conditions`` (B, c) are
        those of ``Scaling.vectors``, ``present`` (B,) is False for the null condition, and ``maps``
        (B, m, h, w, z) can have no channels. ``Process.preconditioning`` defines what is predicted.
        """
        # Embedding of noise level and condition, (B, e).
        angle = level[:, None] * self.frequencies
        embedding = self.level(torch.cat([angle.cos(), angle.sin()], 1))
        condition = torch.where(present[:, None], self.condition(conditions), self.null)
        embedding = functional.silu(embedding + condition)
        # Down the resolutions and up again, with a skip connection at each.
        h = torch.cat([x, maps.to(x.dtype)], 1)
        if h.device.type == "cpu":
            # All layers keep this memory layout, with which a training step in fp32 on a CPU takes
            # some 15 % less time.
            h = h.contiguous(memory_format=torch.channels_last_3d)
        h = self.down[0](self.first(h), embedding)
        skipped = []
        for shrink, blocks in zip(self.shrink, self.down[1:], strict=True):
            skipped.append(h)
            h = blocks(shrink(h), embedding)
        for grow, blocks in zip(self.grow, self.up, strict=True):
            h = blocks(torch.cat([grow(h), skipped.pop()], 1), embedding)
        return self.last(functional.silu(self.norm(h)))


class Blocks(nn.Module):
    """The residual blocks of one resolution, each followed by self-attention with ``attention``."""

    def __init__(
        self,
        channels: int,
        width: int,
        count: int,
        embedding: int,
        norm_groups: int,
        attention: bool,
        size: list[int] | None,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        for number in range(count):
            entering = width if number else channels
            self.parts.append(Block(entering, width, embedding, norm_groups, size))
            if attention:
                self.parts.append(Attention(width, norm_groups))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Features ``x`` (B, channels, h, w, z) to (B, width, h, w, z), with ``embedding``
        (B, e)."""
        for part in self.parts:
            x = part(x, embedding)
        return x


class Block(nn.Module):
    """Two convolutions with a residual connection: ``skip(x) + conv2(silu(norm(h) (1 + gain) +
    shift))``, where h is the first one's output, and gain and shift follow from the embedding
    (adaptive group normalisation, Dhariwal & Nichol 2021)."""

    def __init__(
        self, channels: int, width: int, embedding: int, norm_groups: int, size: list[int] | None
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(norm_groups, channels)
        self.conv1 = nn.Conv3d(channels, width, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * width)
        self.norm2 = nn.GroupNorm(norm_groups, width)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1)
        _silence(self.conv2)
        self.skip = nn.Conv3d(channels, width, 1) if channels != width else nn.Identity()
        self.position = nn.Parameter(torch.zeros(1, width, *size)) if size else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Features ``x`` (B, channels, h, w, z) to (B, width, h, w, z), with ``embedding``
        (B, e)."""
        h = self.conv1(functional.silu(self.norm1(x)))
        if self.position is not None:
            h = h + self.position.to(h.dtype)
        gain, shift = self.modulation(embedding)[:, :, None, None, None].chunk(2, 1)
        h = self.conv2(functional.silu(self.norm2(h) * (1 + gain) + shift))
        return self.skip(x) + h


class Attention(nn.Module):
    """Self-attention over all positions, with a residual connection."""

    def __init__(self, width: int, norm_groups: int) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD_CHANNELS)
        self.norm = nn.GroupNorm(norm_groups, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        _silence(self.out)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Features (B, width, h, w, z) to the same shape; ``embedding`` (B, e) is not used."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(tokens).chunk(3, 2)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.out(mixed).transpose(1, 2).unflatten(2, x.shape[2:])


def _silence(layer: nn.Module) -> None:
    """Set a layer's weights to 0, so that each block is its skip connection before training."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
