"""Values of the ``evaluation`` section."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from workflow_scripts.common.settings import Section, UserPath, ordered_pair
from workflow_scripts.segmentation.settings import Arm


class EvaluationSettings(Section):
    """How sure the tables are, and what the synthetic tumours are measured against."""

    permutations: int = Field(
        description="shuffles of the requests, for R² by chance", ge=1, le=1_000_000
    )
    ring_mm: Annotated[
        tuple[float, float],
        ordered_pair(lambda low, high: 0 <= low < high, "distances"),
    ] = Field(
        description="inner and outer distance from the tumour of what counts as its surroundings"
    )
    classifier_steps: int = Field(
        description="training steps of a network that tells slices of two groups apart",
        ge=1,
        le=1_000_000,
    )
    classifier_repeats: int = Field(
        description="cross-fittings of it, each in new folds", ge=1, le=1000
    )
    confidence: float = Field(
        description="coverage of the intervals; a difference is decided where it excludes 0",
        gt=0,
        lt=1,
    )
    seed_sd: float = Field(
        description="standard deviation between seeds of a difference of Dice, supposed where a "
        "run has fewer than three seeds",
        ge=0,
    )
    opponent: Literal["validation"] | Arm = Field(
        description="the arm that synthetic patients must beat: named here, or that with the best "
        "validation Dice"
    )
    other_runs: list[UserPath] = Field(
        description="result folders of other runs on the same test patients, whose synthetic "
        "patients are compared with this run's"
    )

    @field_validator("other_runs")
    @classmethod
    def _distinct(cls, runs: list[str]) -> list[str]:
        if len(set(runs)) < len(runs):
            raise ValueError("a run is named twice")
        return runs
