"""Values of the ``diffusion`` section."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from workflow_scripts.common.settings import OptimiserSettings, Prior, Section


class DenoiserSettings(Section):
    """The conditional denoiser of stacked latents, and the process that it reverses."""

    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        description="neighbouring latents along x, y, z folded into the channels of one position"
    )
    space: Literal["white", "centred", "plain"] = Field(
        description="where the denoiser works: white centres each place, divides it by its spread "
        "and whitens the folded slices; centred does the same but for the spread; plain takes the "
        "scaled latents as they are, the paper's way"
    )
    modes: int = Field(
        description="principal components of whole latents that the denoiser starts from; "
        "0: it starts from uncorrelated places",
        ge=0,
    )
    widths: list[PositiveInt] = Field(description="channels at each resolution", min_length=1)
    blocks: int = Field(description="residual blocks at each resolution", ge=1)
    norm_groups: int = Field(description="groups of the group normalisation", ge=1)
    attention: list[bool] = Field(description="self-attention at each resolution")
    maps: bool = Field(description="draw the requested tumour as maps beside the latents")
    target: Literal["noise", "velocity", "x0"] = Field(description="what the network predicts")
    schedule: Literal["scaled_linear_beta", "linear_beta", "cosine"] = Field(
        description="noise schedule"
    )
    timesteps: int = Field(description="diffusion steps T in training", ge=10)
    beta_start: float = Field(description="first beta of the linear schedules", gt=0)
    beta_end: float = Field(description="last beta of the linear schedules", gt=0)

    @model_validator(mode="after")
    def _fits(self) -> "DenoiserSettings":
        if len(self.attention) != len(self.widths):
            raise ValueError("attention needs one value for each of widths")
        if any(width % self.norm_groups for width in self.widths):
            raise ValueError(f"norm_groups {self.norm_groups} must divide every width")
        if self.target == "noise" and self.schedule == "cosine":
            raise ValueError(
                "target noise with schedule cosine multiplies errors by 640 at the last timestep; "
                "take target velocity or x0, or schedule scaled_linear_beta"
            )
        if self.space != "white" and self.modes:
            raise ValueError(
                f"modes are those of white latents; they must be 0 in the {self.space} space"
            )
        return self


class DiffusionSettings(DenoiserSettings, OptimiserSettings):
    """The denoiser, and its training."""

    loss: Literal["l1", "l2"] = Field(description="distance of prediction and target")
    tumour_share: float = Field(
        description="share of the loss that the tumour has, whatever its size", ge=0, lt=1
    )
    drop: float = Field(description="share of samples trained on the null condition", ge=0, lt=1)
    batch: int = Field(description="patients a step", ge=1)


class DiffusionSection(DiffusionSettings):
    """The denoiser, its training, and where that starts."""

    prior: Prior = Field(
        description="where training starts: embedded (the denoiser in prior/), none, or a model "
        "folder of another run"
    )
