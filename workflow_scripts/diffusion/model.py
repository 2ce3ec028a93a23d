"""The conditional denoiser of stacked latents."""

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor, nn


class StackDenoiser(nn.Module):
    """A 3-D U-Net over a stack of slice latents (section 2.3 of Kebaili et al., ISBI 2024).

    It works in the ``LatentSpace``, where neighbours, slices too, are the channels of one position,
    so that each layer mixes slices. The conditions go through an MLP and are added to the time
    embedding, with a learned vector for the null; maps of the requested tumour stand beside the
    latents.

    With ``gains`` the prediction is ``found + gain · x``, both from the network: many folded
    channels do not fit through fewer channels of a hidden layer, but a gain for each of them
    does. And each component learns how far it relies on what a Gaussian would give
    (``reliance``).
    """

    def __init__(
        self,
        channels: int,
        map_channels: int,
        conditions: int,
        widths: list[int],
        blocks: int,
        norm_groups: int,
        attention: list[bool],
        gains: bool = False,
    ) -> None:
        super().__init__()
        self.reliance = nn.Parameter(torch.ones(channels)) if gains else None
        self.unet = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=channels + map_channels,
            out_channels=2 * channels if gains else channels,
            num_res_blocks=blocks,
            channels=widths,
            attention_levels=attention,
            norm_num_groups=norm_groups,
            num_head_channels=min(widths[-1], 32),
            num_class_embeds=1,
        )
        # MONAI embeds integer classes there; a network of continuous conditions fits the place.
        self.unet.class_embedding = ConditionEmbedding(conditions, 4 * widths[0])

    def forward(
        self, x: Tensor, t: Tensor, conditions: Tensor, present: Tensor, maps: Tensor
    ) -> Tensor:
        """Prediction (B, K, h, w, z) for noisy white latents of that shape at timesteps (B,).

        ``conditions`` (B, 9) are standardised, ``present`` (B,) is False where the null stands
        in their place, ``maps`` (B, m, h, w, z) may have no channel.
        """
        condition = torch.cat([conditions, present.to(conditions.dtype)[:, None]], 1)
        found = self.unet(torch.cat([x, maps.to(x.dtype)], 1), t, class_labels=condition)
        if self.reliance is None:
            return found
        shift, gain = found.chunk(2, 1)
        return shift + gain * x


class ConditionEmbedding(nn.Module):
    """MLP of the conditions; samples marked absent get a learned null vector in its place."""

    def __init__(self, conditions: int, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(conditions, width), nn.SiLU(), nn.Linear(width, width))
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, condition: Tensor) -> Tensor:
        """Embedding (B, width) of (B, conditions + 1), the last column telling presence."""
        values, present = condition[:, :-1], condition[:, -1:]
        return torch.where(present > 0, self.mlp(values), self.null)
