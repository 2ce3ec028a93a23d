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

# A tumour's, in mL.
Volume = Annotated[float, Field(gt=0, le=1000)]


class SamplingSettings(Section):
    """How the generator is sampled. A model folder has its run's values, which ``sbldm`` takes."""

    sampling_steps: int = Field(description="steps of the sampler", ge=1, le=10_000)
    sigma_max: float = Field(
        description="noise level that sampling starts at; tumours lie far out in the latents, and "
        "a start below 40 misses them",
        gt=0,
        le=100_000,
    )
    sigma_min: float = Field(description="noise level of the last step", gt=0)
    stochasticity: float = Field(
        description="share of the noise that each step draws anew: 1 is ancestral sampling, 0 "
        "deterministic",
        ge=0,
        le=1,
    )
    order: Literal[1, 2] = Field(
        description="of the sampler: 2 is DPM-Solver++(2M), 1 with stochasticity 0 the step of DDIM"
    )
    guidance: float = Field(description="classifier-free guidance; 1 is none", ge=0, le=100)
    precision: Precision = Field(
        description="arithmetic of the denoiser; auto is bf16 where the device computes in it"
    )
    batch: int = Field(description="patients sampled at once", ge=1, le=MOST_SAMPLES)
    attempts: int = Field(
        description="draws for a request; one that was never met keeps the closest", ge=1, le=1000
    )
    volume_tolerance: float = Field(
        description="a tumour is drawn again if this many times larger or smaller than asked", gt=1
    )
    centroid_tolerance_mm: float = Field(
        description="a tumour is drawn again if its centroid is farther off", gt=0, le=500
    )

    @model_validator(mode="after")
    def _falls(self) -> "SamplingSettings":
        if self.sigma_min >= self.sigma_max:
            raise ValueError("sigma_min must be below sigma_max")
        return self


def read_sampling(folder: str | Path) -> SamplingSettings:
    """How a model folder's patients are sampled. Raises ``UserError`` for values of another
    version, or wrong ones."""
    path = Path(folder) / "sampling.json"
    try:
        return SamplingSettings.model_validate(read_json(path))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"{path}: {wrong}; take the values of synthesis in config.yaml") from None


class ImplantSettings(Section):
    """Implanted patients: a training patient's background with a tumour that is made for it."""

    margin_mm: float = Field(
        description="around the requested tumour that is made anew with it", ge=0, le=200
    )
    own_tumour: Literal["healed", "kept"] = Field(
        description="the patient's own tumour is replaced by healthy tissue, or kept"
    )


class SynthesisSettings(SamplingSettings):
    """What is asked of the generator, and how it is sampled."""

    model: UserPath | None = Field(
        description="a model folder from another run; null takes this run's own"
    )
    requests: UserPath | None = Field(
        description="a table of requests written by the user; null draws them"
    )
    patients: int = Field(
        description="synthetic patients drawn for each split", ge=1, le=MOST_PATIENTS
    )
    jitter: float = Field(
        description="how far the volumes of drawn requests stray from the training tumours': "
        "standard deviation of the logarithm",
        ge=0,
        le=3,
    )
    jitter_mm: float = Field(
        description="how far their places stray: standard deviation along each axis", ge=0, le=200
    )
    anatomy: Literal["phantom", "patients"] = Field(
        description="of drawn requests: a new phantom each, nobody's brain; or warped training "
        "patients"
    )
    implant: ImplantSettings
    sweep_ml: list[Volume] = Field(
        description="volumes of the sweep at a fixed position", min_length=1
    )
    sweep_places: int = Field(description="places of the sweep with a fixed volume", ge=0, le=1000)
    sweep_place_ml: Volume = Field(description="that volume")
