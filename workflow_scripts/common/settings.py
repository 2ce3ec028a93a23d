"""The base of every section of the configuration, and what several sections share."""

import math
from collections.abc import Callable
from os import fsencode
from os.path import expanduser, normpath
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from workflow_scripts.common.files import UserError

# Bytes that Linux takes: of a path, and of a name in it, some of which are added to it.
LONGEST_PATH, LONGEST_NAME = 4000, 255


def _path(value: str) -> str:
    # As text from the command line; a file of --configfile has a true one.
    if value == "null":
        raise ValueError("null is text on the command line; set it in a file of --configfile")
    # Snakemake would take what is in braces for a wildcard.
    if "{" in value or "}" in value:
        raise ValueError("paths cannot hold braces")
    if any(ord(character) < 32 for character in value):
        raise ValueError("paths cannot hold control characters, such as the end of a line")
    expanded = expanduser(value)
    if expanded.startswith("~"):
        raise ValueError(f"nobody has the home folder {expanded.split('/')[0]}; name another path")
    longest = max(len(fsencode(name)) for name in expanded.split("/"))
    if longest > LONGEST_NAME or len(fsencode(expanded)) > LONGEST_PATH:
        raise ValueError(
            f"is too long for a path, which has {LONGEST_PATH} bytes and {LONGEST_NAME} a name"
        )
    return expanded


# A path that a user writes; ~ is the home folder.
UserPath = Annotated[str, AfterValidator(_path)]
Modality = Literal["t1", "t1ce", "t2", "flair"]
Labels = Literal["whole_tumour", "subregions"]
Precision = Literal["auto", "bf16", "fp32"]
Steps = Annotated[int, Field(ge=1, le=10_000_000)]
Decay = Literal["cosine", "none"]
# A grid's voxels, along each axis, and how many of them: a head at 0.5 mm has 60 million.
SMALLEST_MM, LARGEST_MM = 0.4, 10
MOST_VOXELS = 100_000_000
# Larger numbers are mistakes, which no machine could meet.
MOST_PATIENTS, MOST_SAMPLES = 1_000_000, 100_000
Width = Annotated[int, Field(gt=0, le=16_384)]
Blocks = Annotated[int, Field(gt=0, le=100)]
# Where training starts: `embedded` (the networks in prior/), `embedded-brats` (those in
# prior-brats/), `none`, or a model folder.
Prior = Annotated[UserPath, AfterValidator(normpath)]


def ordered_pair(fits: Callable[[float, float], bool], words: str) -> AfterValidator:
    """Refuse two numbers for which ``fits`` does not hold, saying which ``words`` are needed."""

    def check(value: tuple[float, float]) -> tuple[float, float]:
        if not fits(*value):
            raise ValueError(f"two {words} are needed, the smaller first")
        return value

    return AfterValidator(check)


def _holds_bool(value: Any) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, list | tuple) and any(map(_holds_bool, value))
    )


class Section(BaseModel):
    """A part of ``config.yaml``: unknown keys are refused, values cannot change after loading, and
    numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # YAML reads yes and no as true and false, which pydantic would take for 1 and 0.
        wants_bool = "bool" in repr(cls.model_fields[info.field_name].annotation)
        if not wants_bool and _holds_bool(value):
            raise ValueError(
                "YAML reads yes, no, on and off as true and false; that is no value here"
            )
        return value

    def part(self, kind: "type[Section]") -> dict:
        """The values that a smaller section has too, for a job that depends on those alone."""
        return self.model_dump(mode="json", include=set(kind.model_fields))


def check_values(values: Any, kind: type[Section], path: Path) -> None:
    """Raise ``UserError`` naming the values of a file of a model folder that are not as ``kind``
    has them."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors()]
        raise UserError(
            f"{path}: {'; '.join(faults)}; the file is damaged, or of another version of this "
            "code: copy the whole folder again, or train the model again"
        ) from None


class GridSettings(Section):
    """The grid of template space on which everything is learned."""

    shape: tuple[int, int, int] = Field(
        description="voxels along x, y, z; multiples of 8, at least 16"
    )
    spacing_mm: tuple[float, float, float] = Field(description="voxel size along x, y, z")

    @field_validator("shape")
    @classmethod
    def _whole_patches(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if any(n < 16 or n % 8 for n in shape):
            raise ValueError("each side must be a multiple of 8, and at least 16")
        return shape

    @field_validator("spacing_mm")
    @classmethod
    def _of_a_head(cls, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(SMALLEST_MM <= size <= LARGEST_MM for size in spacing):
            raise ValueError(f"voxels must be of {SMALLEST_MM} to {LARGEST_MM} mm")
        return spacing

    @model_validator(mode="after")
    def _fits_memory(self) -> "GridSettings":
        if math.prod(self.shape) > MOST_VOXELS:
            raise ValueError(f"a grid of more than {MOST_VOXELS:,} voxels is too large")
        return self


class OptimiserSettings(Section):
    """How a network is trained: AdamW, its schedule, and the moving average of the weights."""

    steps: Steps = Field(description="optimiser steps")
    lr: float = Field(description="maximum learning rate", gt=0, le=10)
    weight_decay: float = Field(description="weight decay of AdamW", ge=0)
    warm_up: float = Field(description="share of the steps with a rising learning rate", ge=0, lt=1)
    decay: Decay = Field(
        description="learning rate after the warm-up: cosine (decays to 0), or none (constant)"
    )
    clip: float | None = Field(description="maximum gradient norm; null: no clipping", gt=0)
    ema_decay: float = Field(
        description="decay of the moving average of the weights, which is saved; 0: the last "
        "weights are saved",
        ge=0,
        lt=1,
    )
    precision: Precision = Field(
        description="fp32, bf16, or auto (bf16 if the device supports it, else fp32)"
    )
