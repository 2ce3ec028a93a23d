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

    sampling_steps: int = Field(
        description="steps of the sampler; `make curves` compares others", ge=1, le=10_000
    )
    sigma_max: float = Field(
        description="first noise level; below 40, tumours are missing: they are outliers of the "
        "latents",
        gt=0,
        le=100_000,
    )
    sigma_min: float = Field(description="last noise level", gt=0)
    stochasticity: float = Field(
        description="rate at which noise is replaced; 0: deterministic (probability-flow ODE); 1: "
        "the reverse SDE",
        ge=0,
        le=1,
    )
    order: Literal[1, 2] = Field(
        description="order of the sampler; 2: DPM-Solver++(2M); 1 with stochasticity 0: DDIM"
    )
    guidance: float = Field(
        description="classifier-free guidance; 1: none; any other value takes twice as long",
        ge=0,
        le=100,
    )
    precision: Precision = Field(
        description="precision of the denoiser: fp32, bf16, or auto (bf16 if the device supports "
        "it, else fp32); bf16 hardly changes the samples"
    )
    batch: int = Field(description="patients sampled at once", ge=1, le=MOST_SAMPLES)
    attempts: int = Field(
        description="draws per request; the closest one is used if none meets it", ge=1, le=1000
    )
    volume_tolerance: float = Field(
        description="a tumour this many times larger or smaller than requested is drawn again",
        gt=1,
    )
    centroid_tolerance_mm: float = Field(
        description="a tumour farther from the requested centroid is drawn again",
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
        description="margin around the requested tumour, generated with it", ge=0, le=200
    )
    own_tumour: Literal["healed", "kept"] = Field(
        description="the training patient's own tumour: healed (replaced by healthy tissue), or "
        "kept"
    )


class SynthesisSettings(SamplingSettings):
    """The requests for synthetic patients, and how they are sampled."""

    model: UserPath | None = Field(
        description="model folder of another run; null: this run's model"
    )
    requests: UserPath | None = Field(
        description="table of requests (volume_ml, centroid_x_mm, …); null: random requests"
    )
    patients: int = Field(description="synthetic patients per split", ge=1, le=MOST_PATIENTS)
    jitter: float = Field(
        description="sd of the log volume of random requests around the training tumours'",
        ge=0,
        le=3,
    )
    jitter_mm: float = Field(
        description="sd of the centroid of random requests around the training tumours', along "
        "each axis",
        ge=0,
        le=200,
    )
    shares: Literal["training", "uniform"] = Field(
        description="shares of core and enhancing tumour in random requests: training (the "
        "training tumours'), or uniform (core up to 0.7 of the tumour, any part of it enhancing)"
    )
    contrast_jitter: float = Field(
        description="sd of the log contrast of tumour and brain, for each modality, around a "
        "training tumour's",
        ge=0,
        le=2,
    )
    anatomy: Literal["phantom", "patients"] = Field(
        description="anatomy of random requests: phantom (new for each), or patients (warped "
        "training patients)"
    )
    implant: ImplantSettings = Field(
        description="training patients with an implanted tumour, for arms with implanted"
    )
    sweep_ml: list[Volume] = Field(
        description="tumour volumes of the sweep at a fixed centroid", min_length=1
    )
    sweep_places: int = Field(
        description="number of centroids in the sweep at a fixed volume, from training tumours",
        ge=0,
        le=1000,
    )
    sweep_place_ml: Volume = Field(description="tumour volume of the sweep over centroids")
