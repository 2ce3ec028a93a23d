"""Values of the ``autoencoder`` section."""

from typing import Literal

from pydantic import Field, model_validator

from workflow_scripts.common.settings import Section


class AutoencoderSettings(Section):
    """The 2-D variational autoencoder of slices, and its training."""

    stem: int = Field(description="pixel-unshuffle before the first convolution", ge=1, le=8)
    widths: list[int] = Field(description="channels at each resolution", min_length=1)
    blocks: int = Field(description="residual blocks at each resolution", ge=1)
    norm_groups: int = Field(description="groups of the group normalisation", ge=1)
    attention: bool = Field(description="self-attention at the lowest resolution")
    latent_channels: int = Field(description="channels of the latent", ge=1)
    position: bool = Field(description="tell encoder and decoder the slice's position")
    kl_weight: float = Field(description="weight of the Kullback-Leibler term", ge=0)
    label_weight: float = Field(description="weight of the label loss", ge=0)
    steps: int = Field(description="optimiser steps", ge=1)
    batch: int = Field(description="slices a step", ge=1)
    lr: float = Field(description="learning rate", gt=0)
    ema_decay: float = Field(description="decay of the averaged weights", ge=0, lt=1)
    precision: Literal["auto", "bf16", "fp32"] = Field(description="arithmetic in training")
    augment: bool = Field(description="flip, shift and re-contrast slices in training")

    @property
    def down(self) -> int:
        """How many times smaller the latent is in each direction of a slice."""
        return self.stem * 2 ** (len(self.widths) - 1)

    @model_validator(mode="after")
    def _groups_divide(self) -> "AutoencoderSettings":
        if any(width % self.norm_groups for width in self.widths):
            raise ValueError(f"norm_groups {self.norm_groups} must divide every width")
        return self


class AutoencoderSection(AutoencoderSettings):
    """The autoencoder, and what it encodes."""

    copies: int = Field(
        description="augmented copies of each training patient that are encoded for the "
        "diffusion model, beside the patient itself",
        ge=0,
    )
