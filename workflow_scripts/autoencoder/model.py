"""The 2-D variational autoencoder of axial slices, with modalities and labels in one latent."""

import torch
from monai.networks.nets.autoencoderkl import Decoder, Encoder
from torch import Tensor, nn


class SliceAutoencoder(nn.Module):
    """Encode a slice's modalities and label classes together; decode both (sections 2.1, 2.2
    of Kebaili et al., ISBI 2024).

    A pixel-unshuffle stem avoids convolutions at full resolution. The slice's position, a constant
    plane in [-1, 1], is an input of encoder and decoder (CoordConv, Liu et al. 2018), so that
    latents need not encode it.
    """

    def __init__(
        self,
        modalities: int,
        classes: int,
        latent_channels: int,
        widths: list[int],
        blocks: int,
        norm_groups: int,
        attention: bool,
        stem: int,
        position: bool,
    ) -> None:
        super().__init__()
        self.modalities, self.classes, self.position = modalities, classes, position
        shared = {
            "spatial_dims": 2,
            "channels": widths,
            "num_res_blocks": [blocks] * len(widths),
            "norm_num_groups": norm_groups,
            "norm_eps": 1e-6,
            "attention_levels": [False] * len(widths),
            "with_nonlocal_attn": attention,
        }
        extra = int(position)
        seen = (modalities + classes - 1) * stem**2
        channels = (modalities + classes) * stem**2
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(stem), nn.PixelShuffle(stem)
        self.encoder = Encoder(in_channels=seen + extra, out_channels=2 * latent_channels, **shared)
        self.decoder = Decoder(in_channels=latent_channels + extra, out_channels=channels, **shared)

    def _with_position(self, x: Tensor, position: Tensor) -> Tensor:
        if not self.position:
            return x
        plane = position.to(x.dtype).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        return torch.cat([x, plane], 1)

    def encode(self, image: Tensor, label: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent, X/d, Y/d) of the latent.

        ``image`` (B, M, X, Y) is 0 to 1, ``label`` (B, X, Y) holds class values, ``position``
        (B,) runs from -1 at the lowest slice to 1 at the highest.
        """
        masks = torch.stack([label == k for k in range(1, self.classes)], 1).to(image.dtype)
        x = self.unshuffle(torch.cat([image, masks], 1) * 2 - 1)
        mean, log_variance = self.encoder(self._with_position(x, position)).chunk(2, 1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, latent: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, M, X, Y) and label logits (B, classes, X, Y) of latents."""
        x = self.shuffle(self.decoder(self._with_position(latent, position)))
        return (x[:, : self.modalities] + 1) / 2, x[:, self.modalities :]


def slice_positions(slices: int) -> Tensor:
    """Positions of the slices of a stack, evenly spaced from -1 to 1."""
    return torch.linspace(-1, 1, slices)
