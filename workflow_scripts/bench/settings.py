"""Values of the ``bench`` section."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, StringConstraints, field_validator, model_validator

from workflow_scripts.common.settings import Prior, Section, UserPath


class CurveSettings(Section):
    """A system of `make curves`, and its training steps for each point of its curve."""

    setup: UserPath | None = Field(
        description="configuration file with networks, training and sampling; null: MONAI's 3-D "
        "latent diffusion example"
    )
    autoencoder_steps: list[PositiveInt] = Field(
        description="steps of the autoencoder's training for each point", min_length=1
    )
    diffusion_steps: list[PositiveInt] = Field(
        description="steps of the denoiser's training for each point", min_length=1
    )

    @model_validator(mode="after")
    def _pairs(self) -> "CurveSettings":
        if len(self.autoencoder_steps) != len(self.diffusion_steps):
            raise ValueError("autoencoder_steps and diffusion_steps must have the same length")
        return self


class SamplerSettings(Section):
    """Settings of the sampler for `make sampler`, which tries all combinations of the values."""

    model: Prior = Field(
        description="model folder to sample, with the phantom.json of a prior; embedded: the "
        "networks in prior/"
    )
    phantoms: int = Field(
        description="phantoms on which a setting is chosen, and as many others on which it is "
        "reported",
        ge=2,
        le=100,
    )
    guidance: list[Annotated[float, Field(ge=0)]] = Field(description="as in synthesis")
    stochasticity: list[Annotated[float, Field(ge=0, le=1)]] = Field(description="as in synthesis")
    sampling_steps: list[PositiveInt] = Field(description="as in synthesis")


class BenchSettings(Section):
    """Comparisons of `make bench`, `make curves` and `make sampler`."""

    setups: list[UserPath] = Field(
        description="configuration files whose networks are timed, each compared with the "
        "paper's networks and MONAI's 3-D latent diffusion example on volumes of "
        "the same size",
        min_length=1,
    )
    repetitions: int = Field(description="repetitions of all measurements", ge=1)
    seconds: float = Field(description="each step is repeated for this long", gt=0)
    slices: int = Field(description="batch size of the autoencoder", ge=1)
    volumes: int = Field(description="batch size of the denoiser", ge=1)
    curves: dict[Annotated[str, StringConstraints(pattern="^[a-z0-9_]+$")], CurveSettings] = Field(
        description="systems whose quality is measured after several training durations, by name"
    )
    sampling_steps: list[PositiveInt] = Field(
        description="numbers of sampling steps with which the model of config.yaml is measured"
    )
    sampler: SamplerSettings

    @field_validator("setups")
    @classmethod
    def _distinct(cls, setups: list[str]) -> list[str]:
        if len({Path(setup).stem for setup in setups}) < len(setups):
            raise ValueError("two of these files have the same name")
        return setups
