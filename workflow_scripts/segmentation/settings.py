"""Values of the ``segmentation`` section."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from workflow_scripts.common.settings import (
    MOST_SAMPLES,
    OptimiserSettings,
    Section,
    Width,
    ordered_pair,
)

# Words of arms. Augmentations that mix two real patients:
MIXED = ("cutmix", "carvemix", "tumorcp")
# Patients of this workflow's generator: synthetic ones, the same ones before all real ones,
# training patients with implanted tumours.
OURS = ("synthetic", "synthetic_first", "implanted")
# Synthetic patients of another generator.
OTHERS = ("gan3d", "ldm3d")
GENERATED = (*OURS, *OTHERS)
# All additions to the real patients; phantoms are like the prior's, copies are warped training
# patients.
ADDED = (*OURS, "phantoms", "copies", *OTHERS)
WORDS = ("real", "classical", *MIXED, *ADDED)


def words_of(arm: str) -> set[str]:
    """The words of an arm."""
    return set(arm.split("+"))


def check_arm(arm: str) -> str:
    """Validate an arm: ``real``, then other ``WORDS`` in their order, joined by ``+``. Raises
    ``ValueError`` otherwise."""
    words = arm.split("+")
    if unknown := [word for word in words if word not in WORDS]:
        raise ValueError(
            f"{unknown[0]!r} is not a word of an arm; the words are {', '.join(WORDS)}"
        )
    ordered = "+".join(word for word in WORDS if word in ("real", *words))
    if arm != ordered:
        raise ValueError(f"write {ordered}")
    for names in (MIXED, ("synthetic", "synthetic_first")):
        if len(both := [word for word in words if word in names]) > 1:
            raise ValueError(f"{' and '.join(both)} exclude each other; use one")
    return arm


_WORD = "|".join(WORDS[1:])
Arm = Annotated[
    str,
    AfterValidator(check_arm),
    Field(json_schema_extra={"pattern": rf"^real(\+({_WORD}))*$"}),
]


class ClassicalSettings(Section):
    """Classical augmentation, after nnU-Net (Isensee et al. 2021)."""

    rotation_deg: float = Field(description="maximum rotation about each axis", ge=0, le=180)
    scale: Annotated[
        tuple[float, float],
        ordered_pair(lambda low, high: 0 < low <= high, "positive numbers"),
    ] = Field(description="range of the scaling factor")
    spatial: float = Field(description="probability of a rotation, and of a scaling", ge=0, le=1)
    mirror: float = Field(description="probability of mirroring, for each axis", ge=0, le=1)
    noise: float = Field(description="probability of Gaussian noise, for each modality", ge=0, le=1)
    blur: float = Field(description="probability of Gaussian blur, for each modality", ge=0, le=1)
    brightness: float = Field(
        description="probability of a change of brightness, for each modality", ge=0, le=1
    )
    contrast: float = Field(
        description="probability of a change of contrast, for each modality", ge=0, le=1
    )
    low_resolution: float = Field(
        description="probability of simulated low resolution, for each modality", ge=0, le=1
    )
    gamma: float = Field(
        description="probability of a gamma change, for each modality; of another one, on the "
        "inverted image",
        ge=0,
        le=1,
    )


class SegmentationSettings(OptimiserSettings):
    """The 3-D segmentation network and its training."""

    stem: int = Field(
        description="voxels along each axis folded into channels before the first convolution",
        ge=1,
        le=4,
    )
    widths: list[Width] = Field(
        description="channels at each resolution of the 3-D U-Net", min_length=2
    )
    patch: tuple[int, int, int] | None = Field(
        description="voxels of a training and inference patch; null: the whole volume"
    )
    foreground: float = Field(description="share of patches centred on a tumour voxel", ge=0, le=1)
    batch: int = Field(description="samples per step", ge=1, le=MOST_SAMPLES)
    validations: int = Field(
        description="validation checks, evenly spaced; the last one is after the last step",
        ge=1,
        le=100_000,
    )
    keep: Literal["best", "last"] = Field(
        description="weights: best (of the best validation check), or last; `make kept` finds no "
        "difference"
    )
    synthetic_fraction: float = Field(
        description="share of samples that are synthetic patients, phantoms or copies, in arms "
        "that have any",
        gt=0,
        le=1,
    )
    first: float = Field(
        description="in arms with synthetic_first: share of steps trained on synthetic patients "
        "only; the later steps are trained on real patients only",
        gt=0,
        lt=1,
    )
    mix: float = Field(
        description="in arms with cutmix, carvemix or tumorcp: share of samples mixed with another "
        "real patient; smaller if a patch of that patient has no tumour",
        ge=0,
        le=1,
    )
    classical: ClassicalSettings = Field(
        description="classical augmentation, with nnU-Net's probabilities and ranges"
    )
    overlap: float = Field(
        description="overlap of adjacent inference patches, as a share", ge=0, lt=1
    )

    @model_validator(mode="after")
    def _patch_halves(self) -> "SegmentationSettings":
        whole = self.stem * 2 ** (len(self.widths) - 1)
        if self.patch and any(n < whole or n % whole for n in self.patch):
            raise ValueError(f"each side of the patch must be a multiple of {whole}")
        return self


class SegmentationSection(SegmentationSettings):
    """The segmentation network, the arms to compare, and their scores."""

    arms: list[Arm] = Field(
        description="training sets to compare, all with the same number of steps", min_length=1
    )
    nsd_tolerance_mm: float = Field(
        description="tolerance of the normalised surface Dice: surfaces closer than this agree",
        gt=0,
    )

    @field_validator("arms")
    @classmethod
    def _distinct(cls, arms: list[str]) -> list[str]:
        if len(set(arms)) < len(arms):
            raise ValueError("an arm is named twice")
        return arms

    @property
    def words(self) -> set[str]:
        """The words of all arms."""
        return {word for arm in self.arms for word in words_of(arm)}
