"""Values of the ``synthesis`` section."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from workflow_scripts.common.files import UserError, read_json
from workflow_scripts.common.settings import (
    MOST_PATIENTS,
    MOST_SAMPLES,
    Precision,
    Section,
    UserPath,
)

# Volume of a tumour in mL.
Volume = Annotated[float, Field(gt=0, le=1000)]


class SamplingSettings(Section):
    """How the generator is sampled. A model folder has its run's values, which ``sbldm`` uses."""

    sampling_steps: int = Field(description="steps of the sampler", ge=1, le=10_000)
    sigma_max: float = Field(
        description="first noise level of sampling; tumours are outliers of the latents, and "
        "are missing if it is below 40",
        gt=0,
        le=100_000,
    )
    sigma_min: float = Field(description="last noise level", gt=0)
    stochasticity: float = Field(
        description="share of the noise that each step draws again: 1 is ancestral sampling, 0 "
        "is deterministic",
        ge=0,
        le=1,
    )
    order: Literal[1, 2] = Field(
        description="order of the sampler: 2 is DPM-Solver++(2M); 1 with stochasticity 0 is DDIM"
    )
    guidance: float = Field(description="classifier-free guidance; 1 is none", ge=0, le=100)
    precision: Precision = Field(
        description="precision of the denoiser; auto is bf16 if the hardware supports it, "
        "otherwise fp32"
    )
    batch: int = Field(description="patients sampled at once", ge=1, le=MOST_SAMPLES)
    attempts: int = Field(
        description="draws per request; the closest one is used if none meets it", ge=1, le=1000
    )
    volume_tolerance: float = Field(
        description="a tumour is drawn again if it is this many times larger or smaller than "
        "requested",
        gt=1,
    )
    centroid_tolerance_mm: float = Field(
        description="a tumour is drawn again if its centroid is farther from the requested one",
        gt=0,
        le=500,
    )

    @model_validator(mode="after")
    def _falls(self) -> "SamplingSettings":
        if self.sigma_min >= self.sigma_max:
            raise ValueError("sigma_min must be below sigma_max")
        return self


def read_sampling(folder: str | Path) -> SamplingSettings:
    """The sampling settings of a model folder. Raises ``UserError`` for invalid values, or values
    of another version."""
    path = Path(folder) / "sampling.json"
    try:
        return SamplingSettings.model_validate(read_json(path))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"{path}: {wrong}; use the values of synthesis in config.yaml") from None


class ImplantSettings(Section):
    """Implanted patients: a training patient's background with a generated tumour."""

    margin_mm: float = Field(
        description="margin around the requested tumour that is generated with it", ge=0, le=200
    )
    own_tumour: Literal["healed", "kept"] = Field(
        description="whether the patient's own tumour is replaced by healthy tissue or kept"
    )


class SynthesisSettings(SamplingSettings):
    """The requests for synthetic patients, and how they are sampled."""

    model: UserPath | None = Field(
        description="a model folder of another run; null: this run's own model"
    )
    requests: UserPath | None = Field(
        description="a table of requests written by the user; null: requests are drawn at random"
    )
    patients: int = Field(description="synthetic patients per split", ge=1, le=MOST_PATIENTS)
    jitter: float = Field(
        description="jitter of the volumes of drawn requests around the training tumours': "
        "standard deviation of the logarithm",
        ge=0,
        le=3,
    )
    jitter_mm: float = Field(
        description="jitter of their centroids: standard deviation along each axis", ge=0, le=200
    )
    shares: Literal["training", "uniform"] = Field(
        description="shares of core and enhancing tumour of drawn requests: the training tumours'; "
        "or uniform: the core up to 0.7 of the tumour, any part of it enhancing"
    )
    anatomy: Literal["phantom", "patients"] = Field(
        description="anatomy of drawn requests: a new phantom for each, or warped training patients"
    )
    implant: ImplantSettings
    sweep_ml: list[Volume] = Field(
        description="tumour volumes of the sweep at a fixed centroid", min_length=1
    )
    sweep_places: int = Field(description="centroids of the sweep at a fixed volume", ge=0, le=1000)
    sweep_place_ml: Volume = Field(description="tumour volume of the sweep over centroids")
