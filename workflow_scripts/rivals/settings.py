"""Values of the ``rivals`` section."""

from pydantic import Field, model_validator

from workflow_scripts.common.settings import (
    MOST_SAMPLES,
    Decay,
    OptimiserSettings,
    Section,
    Steps,
    Width,
)

# Downsampling factor of the 3-D autoencoder along each axis.
DOWN = 4


class GAN3DSettings(OptimiserSettings):
    """The 3-D GAN, and its training."""

    steps: Steps = Field(
        description="optimiser steps; no early stopping: the loss does not show when to stop"
    )
    noise: int = Field(description="length of the noise vector", ge=1, le=MOST_SAMPLES)
    widths: list[Width] = Field(
        description="channels of the generator at each resolution, lowest first", min_length=3
    )
    norm_groups: int = Field(description="groups of the group normalisation", ge=1)
    discriminator: int = Field(
        description="channels of the discriminator's first layer, doubled in each further layer",
        ge=1,
    )
    batch: int = Field(
        description="real volumes per step, and as many generated ones", ge=1, le=MOST_SAMPLES
    )

    @model_validator(mode="after")
    def _groups_divide(self) -> "GAN3DSettings":
        _check_groups(self.norm_groups, widths=self.widths)
        return self

    @property
    def factor(self) -> int:
        """Each side of the volume must be a multiple of this many voxels."""
        return 2 ** (len(self.widths) - 1)


class LDM3DSettings(OptimiserSettings):
    """The 3-D latent diffusion model, and its training."""

    decay: Decay = Field(
        description="learning rate after the warm-up: cosine (to 0, once over both networks), or "
        "none (constant)"
    )
    autoencoder_widths: list[Width] = Field(
        description="channels of the autoencoder at each resolution; the latents are 4x smaller",
        min_length=3,
        max_length=3,
    )
    denoiser_widths: list[Width] = Field(
        description="channels of the denoiser at each resolution; attention at all but the first",
        min_length=2,
    )
    norm_groups: int = Field(description="groups of the group normalisation", ge=1)
    autoencoder_steps: int = Field(
        description="the first of the steps, which train the autoencoder; the others train the "
        "denoiser",
        ge=1,
    )
    batch: int = Field(description="volumes per step", ge=1, le=MOST_SAMPLES)
    validations: int = Field(
        description="validation checks of each network; the best weights are used", ge=1
    )
    sampling_steps: int = Field(description="steps of DDIM", ge=1, le=10_000)

    @model_validator(mode="after")
    def _fits(self) -> "LDM3DSettings":
        widths = {"autoencoder_widths": self.autoencoder_widths}
        _check_groups(self.norm_groups, **widths, denoiser_widths=self.denoiser_widths)
        if self.autoencoder_steps >= self.steps:
            raise ValueError(
                "autoencoder_steps must be below steps: the other steps train the denoiser"
            )
        return self

    @property
    def factor(self) -> int:
        """Each side of the volume must be a multiple of this many voxels."""
        return DOWN * 2 ** (len(self.denoiser_widths) - 1)


def _check_groups(groups: int, **widths: list[int]) -> None:
    """Raise ``ValueError`` if the groups do not divide all widths."""
    for name, values in widths.items():
        if any(width % groups for width in values):
            raise ValueError(f"norm_groups {groups} must divide all of {name}")


class RivalsSettings(Section):
    """Other generators, for arms of the segmentation study."""

    gan3d: GAN3DSettings = Field(description="3-D GAN of image and label")
    ldm3d: LDM3DSettings = Field(description="3-D latent diffusion, as in MONAI's example")

    @property
    def names(self) -> tuple[str, ...]:
        """The words that arms have."""
        return tuple(type(self).model_fields)
