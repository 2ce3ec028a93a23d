"""Values of the ``autoencoder`` section."""

from typing import Any

from pydantic import Field, model_validator

from workflow_scripts.common.settings import (
    MOST_SAMPLES,
    GridSettings,
    Labels,
    Modality,
    OptimiserSettings,
    Precision,
    Prior,
    Section,
    Steps,
    Width,
)


class LossSettings(Section):
    """Weights of the terms of the autoencoder's loss."""

    l1: float = Field(description="absolute difference of the image", ge=0)
    mse: float = Field(description="squared difference of the image", ge=0)
    ssim: float = Field(
        description="1 - structural similarity of the image, and of the label if label_l1 is not 0",
        ge=0,
    )
    label_ce: float = Field(description="cross-entropy of the label", ge=0)
    label_dice: float = Field(description="1 - Dice of the label's classes", ge=0)
    label_l1: float = Field(
        description="absolute difference of the label's probabilities, treated as a modality, as "
        "in the paper",
        ge=0,
    )
    equivariance: float = Field(
        description="error of image and label at half size, decoded from latents averaged over "
        "2x2; makes latents smooth, and easier to denoise",
        ge=0,
    )
    roughness: float = Field(
        description="squared difference of neighbouring latents of a slice over twice their "
        "variance; gives latents the spectrum of natural images, whose coarse parts a "
        "denoiser learns first",
        ge=0,
    )
    kl: float = Field(description="Kullback-Leibler divergence of the latents", ge=0)


class SliceAugmentSettings(Section):
    """Augmentation of slices in training, each independently; 0 switches an effect off."""

    mirror: float = Field(description="probability of mirroring in x", ge=0, le=1)
    rotation_deg: float = Field(description="maximum rotation", ge=0, le=180)
    scale: float = Field(description="maximum change of size, as a share", ge=0, lt=1)
    shift: float = Field(description="maximum shift, as a share of the slice", ge=0, lt=1)
    gamma: float = Field(description="maximum log of the exponent of intensities", ge=0, le=2)
    gain: float = Field(description="maximum change of brightness, as a share", ge=0, lt=1)


class WarpSettings(Section):
    """Warps of the copies of patients that are encoded; 0 switches an effect off."""

    mirror: float = Field(description="probability of mirroring in x", ge=0, le=1)
    rotation_deg: float = Field(description="sd of the rotation about each axis", ge=0, le=30)
    scale: float = Field(description="sd of the log of the size along each axis", ge=0, le=0.3)
    shear: float = Field(description="sd of the shear", ge=0, le=0.2)
    shift_mm: float = Field(description="maximum shift along each axis", ge=0, le=30)
    elastic_mm: float = Field(
        description="sd of the elastic displacement at its knots", ge=0, le=10
    )
    knots_mm: float = Field(
        description="distance between the knots of the elastic displacement", gt=0, le=500
    )
    tumour_scale: float = Field(
        description="sd of the log of the tumour's size relative to the brain", ge=0, le=0.4
    )
    tumour_shift: float = Field(
        description="sd of the tumour's shift, as a share of twice its radius plus 6 mm",
        ge=0,
        le=0.3,
    )
    gamma: float = Field(description="maximum log of the exponent of intensities", ge=0, le=2)
    gain: float = Field(description="maximum change of brightness, as a share", ge=0, lt=1)


class SliceNetworkSettings(Section):
    """The 2-D variational autoencoder of slices."""

    stem: int = Field(
        description="factor of the pixel-unshuffle before the first convolution", ge=1, le=8
    )
    widths: list[Width] = Field(
        description="channels at each resolution; downsampling: stem times 2 for each width after "
        "the first",
        min_length=1,
    )
    blocks: int = Field(description="residual blocks at each resolution", ge=1, le=100)
    norm_groups: int = Field(description="groups of the group normalisation", ge=1)
    attention: bool = Field(description="self-attention at the lowest resolution")
    latent_channels: int = Field(description="channels of the latents", ge=1, le=1024)
    position: bool = Field(description="the slice's position is an input of encoder and decoder")

    @property
    def down(self) -> int:
        """Downsampling factor of the latents along each axis of a slice."""
        return self.stem * 2 ** (len(self.widths) - 1)

    @model_validator(mode="after")
    def _groups_divide(self) -> "SliceNetworkSettings":
        if any(width % self.norm_groups for width in self.widths):
            raise ValueError(f"norm_groups {self.norm_groups} must divide every width")
        return self


class AutoencoderSettings(SliceNetworkSettings, OptimiserSettings):
    """The autoencoder, and its training."""

    steps: Steps = Field(
        description="optimiser steps: hundreds to fine-tune a prior, thousands without one"
    )
    loss: LossSettings = Field(description="weights of the loss terms")
    batch: int = Field(description="slices per step", ge=1, le=MOST_SAMPLES)
    tumour_slices: float = Field(
        description="share of slices that contain tumour; the rest are drawn from all",
        ge=0,
        le=1,
    )
    augment: SliceAugmentSettings | None = Field(
        description="augmentation of training slices; 0 switches an effect off; null: none"
    )


class AutoencoderConfig(Section):
    """Contents of ``config.json`` of a trained autoencoder; ``settings`` are checked separately
    (``common.weights.settings_of``)."""

    settings: dict[str, Any]
    modalities: list[Modality] = Field(min_length=1)
    labels: Labels
    grid: GridSettings
    precision: Precision
    latent_scale: float = Field(gt=0)


class AutoencoderSection(AutoencoderSettings):
    """The autoencoder, its initial weights, and the copies that it encodes."""

    prior: Prior = Field(
        description="initial weights: embedded (prior/, for its networks, grid and modalities), "
        "embedded-brats (prior-brats/; config/brats_3mm.yaml), a model folder, or none "
        "(config/scratch.yaml)"
    )

    copies: int = Field(
        description="augmented copies of each training patient, encoded for the denoiser besides "
        "the patient",
        ge=0,
        le=10_000,
    )
    warp: WarpSettings = Field(description="warps of these copies; 0 switches an effect off")
