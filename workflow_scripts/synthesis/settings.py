"""Values of the ``synthesis`` section."""

from pydantic import Field

from workflow_scripts.common.settings import Section


class SynthesisSettings(Section):
    """What is asked of the generator, and how it is sampled."""

    requests: str | None = Field(
        description="a table of requests written by the user; null draws them"
    )
    patients: int = Field(description="synthetic patients drawn for each split", ge=1)
    jitter: float = Field(
        description="how far drawn requests stray from the training patients' own: "
        "standard deviation of log volume; places stray by as many tens of millimetres",
        ge=0,
    )
    sampling_steps: int = Field(description="steps of the DDIM sampler", ge=1)
    guidance: float = Field(description="classifier-free guidance; 1 is none", ge=0)
    batch: int = Field(description="patients sampled at once", ge=1)
    attempts: int = Field(description="draws for a request before it counts as failed", ge=1)
    sweep_ml: list[float] = Field(description="volumes of the sweep at a fixed position")
