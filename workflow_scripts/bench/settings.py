"""Values of the ``bench`` section."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, StringConstraints, field_validator, model_validator

from workflow_scripts.common.settings import Prior, Section, UserPath


class CurveSettings(Section):
    """A system of `make curves`, and how long it is trained for each point of its curve."""

    setup: UserPath | None = Field(
        description="configuration file whose networks, training and sampling are taken; null: "
        "MONAI's 3-D latent diffusion example"
    )
    autoencoder_steps: list[PositiveInt] = Field(
        description="of the autoencoder's training, point by point", min_length=1
    )
    diffusion_steps: list[PositiveInt] = Field(
        description="of the denoiser's training, point by point", min_length=1
    )

    @model_validator(mode="after")
    def _pairs(self) -> "CurveSettings":
        if len(self.autoencoder_steps) != len(self.diffusion_steps):
            raise ValueError("autoencoder_steps and diffusion_steps must be as many")
        return self


class SamplerSettings(Section):
    """Settings of the sampler that `make sampler` tries, all combinations of the values."""

    model: Prior = Field(
        description="model folder that is sampled, with the phantom.json of a prior; embedded: the "
        "networks in prior/"
    )
    phantoms: int = Field(
        description="phantoms that the settings are tried on, and as many that the chosen one is "
        "reported on",
        ge=2,
        le=100,
    )
    guidance: list[Annotated[float, Field(ge=0)]] = Field(description="as in synthesis")
    stochasticity: list[Annotated[float, Field(ge=0, le=1)]] = Field(description="as in synthesis")
    sampling_steps: list[PositiveInt] = Field(description="as in synthesis")


class BenchSettings(Section):
    """What `make bench`, `make curves` and `make sampler` compare, and how long they measure."""

    setups: list[UserPath] = Field(
        description="configuration files whose networks are timed, each beside the paper's and "
        "those of MONAI's 3-D latent diffusion example on volumes of the same size",
        min_length=1,
    )
    repetitions: int = Field(description="times that everything is measured", ge=1)
    seconds: float = Field(description="a step is repeated until it took this long", gt=0)
    slices: int = Field(description="slices of an autoencoder's batch", ge=1)
    volumes: int = Field(description="volumes of a denoiser's batch in training", ge=1)
    curves: dict[Annotated[str, StringConstraints(pattern="^[a-z0-9_]+$")], CurveSettings] = Field(
        description="systems whose quality is measured after trainings of several lengths, by name"
    )
    sampling_steps: list[PositiveInt] = Field(
        description="steps of the sampler with which the model of config.yaml is measured"
    )
    sampler: SamplerSettings

    @field_validator("setups")
    @classmethod
    def _distinct(cls, setups: list[str]) -> list[str]:
        if len({Path(setup).stem for setup in setups}) < len(setups):
            raise ValueError("two of these files have the same name")
        return setups
