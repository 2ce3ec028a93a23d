"""Values of the ``preprocess`` section."""

from typing import Literal

from pydantic import Field, field_validator

from workflow_scripts.common.settings import Section


class PreprocessSettings(Section):
    """Preprocessing from raw files to a normalised patient on the grid."""

    reference: Literal["auto", "t1", "t1ce", "t2", "flair"] = Field(
        description="modality that the others are registered to; auto: t1ce, else t1, else the "
        "first"
    )
    coregister: Literal["auto", "always", "never"] = Field(
        description="rigid registration of the modalities: always, never, or auto (unless they are "
        "skull-stripped and on one grid, as in BraTS)"
    )
    skull_strip: Literal["auto", "deepbet", "hd-bet", "synthstrip", "given", "none"] = Field(
        description="brain mask: deepbet, hd-bet, synthstrip, given (the cohort's brain_mask), "
        "none, or auto (deepbet unless already skull-stripped)"
    )
    template: Literal["affine", "rigid"] = Field(
        description="registration of the reference to MNI152: affine or rigid"
    )
    n4: bool = Field(description="correct the bias field with N4")
    percentiles: tuple[float, float] = Field(
        description="percentiles of the intensities inside the brain, mapped to 0 and 1"
    )

    @field_validator("percentiles")
    @classmethod
    def _ordered(cls, values: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= values[0] < values[1] <= 100:
            raise ValueError("must rise, between 0 and 100")
        return values
