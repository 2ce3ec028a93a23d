"""The base of every section of the configuration, and what several sections share."""

from collections.abc import Callable
from os.path import expanduser, normpath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)


def _path(value: str) -> str:
    # As text from the command line; a file of --configfile has a true one.
    if value == "null":
        raise ValueError("null is text on the command line; set it in a file of --configfile")
    # Snakemake would take what is in braces for a wildcard.
    if "{" in value or "}" in value:
        raise ValueError("paths cannot hold braces")
    return expanduser(value)


# A path that a user writes; ~ is the home folder.
UserPath = Annotated[str, AfterValidator(_path)]
Precision = Literal["auto", "bf16", "fp32"]
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


class OptimiserSettings(Section):
    """How a network is trained: AdamW, its schedule, and the moving average of the weights."""

    steps: int = Field(description="optimiser steps", ge=1, le=10_000_000)
    lr: float = Field(description="largest learning rate", gt=0)
    weight_decay: float = Field(description="weight decay of AdamW", ge=0)
    warm_up: float = Field(
        description="share of the steps over which the learning rate rises", ge=0, lt=1
    )
    decay: Literal["cosine", "none"] = Field(
        description="how the learning rate falls after that: a cosine down to 0, or not at all"
    )
    clip: float | None = Field(
        description="largest norm of the gradient; null leaves it as it is", gt=0
    )
    ema_decay: float = Field(
        description="decay of the averaged weights, which are what is kept; 0: the last ones",
        ge=0,
        lt=1,
    )
    precision: Precision = Field(
        description="arithmetic; auto is bf16 where the device computes in it"
    )
