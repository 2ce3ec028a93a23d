"""The segmentation network."""

import math
from collections.abc import Sequence

from monai.networks.nets import DynUNet
from torch import Tensor, nn

from workflow_scripts.common.fold import fold, unfold

# Initial probability: a tumour fills a few hundredths of the volume.
PRIOR = 0.03


class SegmentationNetwork(nn.Module):
    """nnU-Net's 3-D U-Net: from images (B, M, X, Y, Z) to logits of the regions (B, R, X, Y, Z).

    With ``stem`` above 1, cubes of voxels are folded into channels before the first convolution and
    unfolded after the last, which avoids convolutions at full resolution. Instance normalisation is
    used since batches are small. A volume whose sides are not multiples of ``stem * 2 **
    (len(widths) - 1)`` is padded, and the logits are cropped.
    """

    def __init__(self, modalities: int, regions: int, stem: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = stem
        self.multiple = stem * 2 ** (len(widths) - 1)
        halvings = [2] * (len(widths) - 1)
        self.unet = DynUNet(
            spatial_dims=3,
            in_channels=modalities * stem**3,
            out_channels=regions * stem**3,
            kernel_size=[3] * len(widths),
            strides=[1, *halvings],
            upsample_kernel_size=halvings,
            filters=list(widths),
            norm_name=("INSTANCE", {"affine": True}),
        )
        nn.init.constant_(self.unet.output_block.conv.conv.bias, math.log(PRIOR / (1 - PRIOR)))

    def forward(self, image: Tensor) -> Tensor:
        x, y, z = image.shape[2:]
        # At least two voxels per side at the lowest resolution: a single one has no variance.
        after = [
            max(2 * self.multiple, -(-n // self.multiple) * self.multiple) - n for n in (z, y, x)
        ]
        padded = nn.functional.pad(image, [n for a in after for n in (0, a)])
        cube = (self.stem,) * 3
        logits = unfold(self.unet(fold(padded, cube)), cube)
        return logits[..., :x, :y, :z]
