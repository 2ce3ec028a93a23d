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
        description="model folder of a prior, with its phantom.json; embedded: prior/"
    )
    phantoms: int = Field(
        description="phantoms on which the setting is chosen, and as many others on which it is "
        "reported",
        ge=2,
        le=100,
    )
    guidance: list[Annotated[float, Field(ge=0)]] = Field(
        description="values of synthesis.guidance to compare (config/sampler.yaml)"
    )
    stochasticity: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        description="values of synthesis.stochasticity to compare"
    )
    sampling_steps: list[PositiveInt] = Field(
        description="values of synthesis.sampling_steps to compare"
    )


class BenchSettings(Section):
    """Comparisons of `make bench`, `make curves` and `make sampler`."""

    setups: list[UserPath] = Field(
        description="configurations whose networks are timed, each on its own volumes, and "
        "compared with the paper's networks and MONAI's 3-D latent diffusion example",
        min_length=1,
    )
    repetitions: int = Field(description="repetitions of all measurements", ge=1)
    seconds: float = Field(description="each step is repeated for this long", gt=0)
    slices: int = Field(description="batch size of the autoencoder", ge=1)
    volumes: int = Field(description="batch size of the denoiser", ge=1)
    curves: dict[Annotated[str, StringConstraints(pattern="^[a-z0-9_]+$")], CurveSettings] = Field(
        description="systems trained for several durations, by name (config/curves.yaml)"
    )
    sampling_steps: list[PositiveInt] = Field(
        description="numbers of sampling steps to compare, of the model of config.yaml"
    )
    sampler: SamplerSettings = Field(
        description="for `make sampler`, which compares all combinations of these values"
    )

    @field_validator("setups")
    @classmethod
    def _distinct(cls, setups: list[str]) -> list[str]:
        if len({Path(setup).stem for setup in setups}) < len(setups):
            raise ValueError("two of these files have the same name")
        return setups
