"""Values of the ``bench`` section."""

from pathlib import Path

from pydantic import Field, field_validator

from workflow_scripts.common.settings import Section, UserPath


class BenchSettings(Section):
    """What `make bench` compares, and how long it measures."""

    setups: list[UserPath] = Field(
        description="configuration files whose networks are timed, each beside the paper's and "
        "those of MONAI's 3-D latent diffusion example on volumes of the same size",
        min_length=1,
    )
    repetitions: int = Field(description="times that everything is measured", ge=1)
    seconds: float = Field(description="a step is repeated until it took this long", gt=0)
    slices: int = Field(description="slices of an autoencoder's batch", ge=1)

    @field_validator("setups")
    @classmethod
    def _distinct(cls, setups: list[str]) -> list[str]:
        if len({Path(setup).stem for setup in setups}) < len(setups):
            raise ValueError("two of these files have the same name")
        return setups
