"""Values of the ``evaluation`` section."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from workflow_scripts.common.settings import Section, UserPath, ordered_pair
from workflow_scripts.segmentation.settings import Arm


class EvaluationSettings(Section):
    """Intervals, comparisons and measures of the evaluation."""

    permutations: int = Field(
        description="permutations of the requests, for the R² expected by chance",
        ge=1,
        le=1_000_000,
    )
    ring_mm: Annotated[
        tuple[float, float],
        ordered_pair(lambda low, high: 0 <= low < high, "distances"),
    ] = Field(description="inner and outer distance of the surroundings from the tumour")
    classifier_steps: int = Field(
        description="training steps of the network that tells synthetic slices from real ones",
        ge=1,
        le=1_000_000,
    )
    classifier_repeats: int = Field(
        description="repetitions of this network's cross-fitting, each with new folds",
        ge=1,
        le=1000,
    )
    confidence: float = Field(
        description="confidence level of the intervals; a difference is decided if its interval "
        "excludes 0",
        gt=0,
        lt=1,
    )
    seed_sd: float = Field(
        description="sd of a Dice difference between seeds, assumed with fewer than 3 seeds",
        ge=0,
    )
    opponent: Literal["validation"] | Arm = Field(
        description="arm that synthetic patients are compared with; validation: the arm without "
        "them with the best validation Dice"
    )
    other_runs: list[UserPath] = Field(
        description="result folders of other runs (without a prior, say) on the same test "
        "patients, whose synthetic patients are compared with this run's"
    )

    @field_validator("other_runs")
    @classmethod
    def _distinct(cls, runs: list[str]) -> list[str]:
        if len(set(runs)) < len(runs):
            raise ValueError("a run is named twice")
        return runs
