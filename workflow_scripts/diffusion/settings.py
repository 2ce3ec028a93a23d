"""Values of the ``diffusion`` section."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from workflow_scripts.common.settings import (
    MOST_SAMPLES,
    Blocks,
    GridSettings,
    Modality,
    OptimiserSettings,
    Precision,
    Prior,
    Section,
    Steps,
    Width,
)

# Cells of a tumour's layout along each axis.
CELLS = 24
# Number of a tumour's conditions, those of ``common.attributes``, whose import would take long.
CONDITIONS = 9
Share = Annotated[float, Field(ge=0, le=1)]


class NoiseSettings(Section):
    """The diffusion process."""

    preconditioning: Literal["edm", "noise"] = Field(
        description="output of the network: edm (the unknown part of the latents at a noise level, "
        "Karras et al. 2022), or noise (as in the paper)"
    )
    noise: Literal["lognormal", "scaled_linear_beta", "linear_beta"] = Field(
        description="noise levels of training: lognormal, or scaled_linear_beta, linear_beta (as "
        "in DDPM)"
    )
    noise_mean: float = Field(description="of lognormal: mean of the log of the noise levels")
    noise_sd: float = Field(description="of lognormal: sd of the log of the noise levels", gt=0)
    timesteps: int = Field(
        description="of the beta schedules: number of diffusion steps", ge=10, le=100_000
    )
    beta_start: float = Field(description="of the beta schedules: first beta", gt=0)
    beta_end: float = Field(description="of the beta schedules: last beta", gt=0)


class LayoutSettings(Section):
    """The denoiser of tumour layouts, the first of two."""

    widths: list[Width] = Field(description="channels at each resolution", min_length=1)
    blocks: list[Blocks] = Field(description="residual blocks at each resolution")
    norm_groups: int = Field(description="groups of the group normalisation", ge=1)
    noise_mean: float = Field(description="mean of the log of its log-normal noise levels")
    noise_sd: float = Field(description="sd of the log of its noise levels", gt=0)

    @model_validator(mode="after")
    def _fits(self) -> "LayoutSettings":
        _check_widths(self.widths, self.norm_groups, blocks=self.blocks)
        if CELLS % 2 ** (len(self.widths) - 1):
            raise ValueError(f"widths: {CELLS} cells cannot be halved {len(self.widths) - 1} times")
        return self


class DenoiserSettings(NoiseSettings):
    """The conditional denoiser of stacked latents, and the process that it reverses."""

    anatomy: Literal["tissue", "none"] = Field(
        description="anatomy as an input: tissue (maps of grey matter, white matter and CSF, "
        "without the tumour), or none (as in the paper)"
    )
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        description="neighbouring latents along x, y, z folded into the channels of one position"
    )
    space: Literal["centred", "plain"] = Field(
        description="latents of the denoiser: centred (minus the mean at each position, one scale "
        "per channel), or plain (scaled latents, unchanged, as in the paper)"
    )
    widths: list[Width] = Field(
        description="channels at each resolution of the 3-D U-Net", min_length=1
    )
    blocks: list[Blocks] = Field(description="residual blocks at each resolution")
    norm_groups: int = Field(description="groups of the group normalisation", ge=1)
    attention: list[bool] = Field(description="self-attention at each resolution")
    positions: bool = Field(description="learned position embeddings below the first resolution")
    maps: bool = Field(
        description="maps of the requested tumour are inputs, in addition to the MLP"
    )
    layout: LayoutSettings | None = Field(
        description="a smaller denoiser first samples the tumour's regions, and the tumour is "
        "rendered with the brain; null: the denoiser of the latents samples the tumour "
        "from noise"
    )

    @model_validator(mode="after")
    def _fits(self) -> "DenoiserSettings":
        _check_widths(self.widths, self.norm_groups, attention=self.attention, blocks=self.blocks)
        if self.layout and self.anatomy == "none":
            raise ValueError(
                "layout: a tumour is rendered into a rendered brain, and anatomy is none; set "
                "layout to null"
            )
        return self


def _check_widths(widths: list[int], norm_groups: int, **lists: list) -> None:
    """Raise ``ValueError`` if one of the ``lists`` does not have a value for each width, or if
    ``norm_groups`` does not divide every width."""
    for name, values in lists.items():
        if len(values) != len(widths):
            raise ValueError(f"{name} needs one value for each of widths")
    if any(width % norm_groups for width in widths):
        raise ValueError(f"norm_groups {norm_groups} must divide every width")


class DiffusionSettings(DenoiserSettings, OptimiserSettings):
    """The denoiser, and its training."""

    steps: Steps = Field(
        description="optimiser steps: hundreds to fine-tune a prior, more without one"
    )
    loss: Literal["l1", "l2"] = Field(description="distance of prediction and target: l1 or l2")
    tumour_share: float = Field(
        description="share of the loss for tumours, whatever their size; 0: all voxels count "
        "equally",
        ge=0,
        lt=1,
    )
    coarse_share: float = Field(
        description="share of the loss for errors averaged over blocks of latents: smooth errors, "
        "and offsets of whole slices",
        ge=0,
        lt=1,
    )
    layout_repeats: Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="noise levels per layout in a batch"
    )
    correction: int = Field(
        description="training samples for a linear correction of the denoiser's estimates, fitted "
        "by tissue and noise level after training; 0: none",
        ge=0,
        le=MOST_SAMPLES,
    )
    drop: float = Field(description="share of samples trained with the null condition", ge=0, lt=1)
    batch: int = Field(description="patients or copies per step", ge=1, le=MOST_SAMPLES)

    @model_validator(mode="after")
    def _corrects_with_an_anatomy(self) -> "DiffusionSettings":
        if self.correction and self.anatomy == "none":
            raise ValueError("correction: is by tissue, and anatomy is none; set correction to 0")
        return self


class ScalingValues(Section):
    """The values of ``conditions.Scaling`` in ``config.json``."""

    mean: list[float] = Field(min_length=CONDITIONS, max_length=CONDITIONS)
    sd: list[PositiveFloat] = Field(min_length=CONDITIONS, max_length=CONDITIONS)
    box_ratio: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    patients: int = Field(1, ge=0, le=1)


class DiffusionConfig(Section):
    """What ``config.json`` of a trained denoiser holds; ``settings``, ``phantom`` and
    ``preprocess`` are checked by themselves (``common.weights.settings_of``)."""

    settings: dict[str, Any]
    precision: Precision
    grid: GridSettings
    latent_shape: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    modalities: list[Modality] = Field(min_length=1)
    scaling: ScalingValues
    regions: bool
    tissue_quantiles: tuple[list[Share], list[Share], list[Share]] | None
    phantom: dict[str, Any]
    preprocess: dict[str, Any]


class DiffusionSection(DiffusionSettings):
    """The denoiser, its training, and where that starts."""

    prior: Prior = Field(
        description="initial weights: the same as autoencoder.prior, or none (random)"
    )
