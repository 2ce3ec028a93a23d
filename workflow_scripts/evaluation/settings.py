"""Values of the ``evaluation`` section."""

from pydantic import Field, field_validator

from workflow_scripts.common.settings import Section


class EvaluationSettings(Section):
    """How sure the tables are, and what the synthetic tumours are measured against."""

    bootstrap: int = Field(description="resamplings of the patients for an interval", ge=100)
    permutations: int = Field(description="shuffles of the requests, for R² by chance", ge=1)
    ring_mm: tuple[float, float] = Field(
        description="inner and outer distance from the tumour of what counts as its surroundings"
    )
    confidence: float = Field(description="coverage of the bootstrap intervals", gt=0, lt=1)
    alpha: float = Field(description="p below which a difference counts as decided", gt=0, lt=1)

    @field_validator("ring_mm")
    @classmethod
    def _ordered(cls, ring: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= ring[0] < ring[1]:
            raise ValueError("two distances are needed, the smaller first")
        return ring
