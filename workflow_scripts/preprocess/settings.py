"""Values of the ``preprocess`` section."""

from typing import Literal

from pydantic import Field, field_validator

from workflow_scripts.common.settings import Section


class PreprocessSettings(Section):
    """From raw files to one normalised patient on the grid."""

    reference: Literal["auto", "t1", "t1ce", "t2", "flair"] = Field(
        description="modality the others are registered to; auto takes the one that "
        "embedded patients have their labels on, t1ce, or the first"
    )
    coregister: Literal["auto", "always", "never"] = Field(
        description="rigid registration of the modalities; auto skips it where the volumes are "
        "skull-stripped and on one grid, as BraTS has them"
    )
    skull_strip: Literal["auto", "deepbet", "hd-bet", "synthstrip", "given", "none"] = Field(
        description="how the brain mask is found; auto sees that a volume is stripped already, "
        "and calls deepbet otherwise"
    )
    template: Literal["affine", "rigid"] = Field(
        description="registration of the reference to MNI152"
    )
    n4: bool = Field(description="correct the bias field by N4")
    percentiles: tuple[float, float] = Field(
        description="intensities inside the brain that become 0 and 1"
    )

    @field_validator("percentiles")
    @classmethod
    def _ordered(cls, values: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= values[0] < values[1] <= 100:
            raise ValueError("must rise, between 0 and 100")
        return values
