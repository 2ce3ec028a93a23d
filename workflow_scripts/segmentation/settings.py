"""Values of the ``segmentation`` section."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from workflow_scripts.common.settings import OptimiserSettings, Section, ordered_pair

# Beside the real patients: classical augmentation, synthetic patients, training patients with
# implanted tumours, phantoms as the prior saw, warped copies of the training patients, synthetic
# patients of another generator (3-D GAN, 3-D latent diffusion); or two real patients mixed into
# one (CutMix, CarveMix, TumorCP).
Arm = Literal[
    "real",
    "real+classical",
    "real+synthetic",
    "real+classical+synthetic",
    "real+classical+implanted",
    "real+classical+phantoms",
    "real+classical+copies",
    "real+classical+gan3d",
    "real+classical+ldm3d",
    "real+classical+cutmix",
    "real+classical+carvemix",
    "real+classical+tumorcp",
]
# Words of arms that learn from patients of this workflow's generator, of any generator, and of all
# that learn from patients beside the real ones.
OURS = {"synthetic", "implanted"}
GENERATED = OURS | {"gan3d", "ldm3d"}
ADDED = GENERATED | {"phantoms", "copies"}


class ClassicalSettings(Section):
    """Classical augmentation, after nnU-Net (Isensee et al. 2021)."""

    rotation_deg: float = Field(description="largest rotation about each axis", ge=0, le=180)
    scale: Annotated[
        tuple[float, float],
        ordered_pair(lambda low, high: 0 < low <= high, "positive numbers"),
    ] = Field(description="smallest and largest magnification")
    spatial: float = Field(description="probability of a rotation, and of a scaling", ge=0, le=1)
    mirror: float = Field(description="probability of mirroring, for each axis", ge=0, le=1)
    noise: float = Field(description="probability of Gaussian noise", ge=0, le=1)
    blur: float = Field(description="probability of Gaussian blur", ge=0, le=1)
    brightness: float = Field(description="probability of another brightness", ge=0, le=1)
    contrast: float = Field(description="probability of another contrast", ge=0, le=1)
    low_resolution: float = Field(description="probability of a lower resolution", ge=0, le=1)
    gamma: float = Field(description="probability of another gamma", ge=0, le=1)


class SegmentationSettings(OptimiserSettings):
    """The 3-D segmentation network and its training."""

    stem: int = Field(description="voxels a side folded into channels first", ge=1, le=4)
    widths: list[PositiveInt] = Field(description="channels at each resolution", min_length=2)
    patch: tuple[int, int, int] | None = Field(
        description="voxels of a training and inference patch; null is the whole volume"
    )
    foreground: float = Field(description="share of patches laid on the tumour", ge=0, le=1)
    batch: int = Field(description="samples a step", ge=1)
    validations: int = Field(
        description="validation checks, spread evenly over the steps; the last is at the end", ge=1
    )
    keep: Literal["best", "last"] = Field(
        description="weights that are kept: the best of the validation checks, or the last"
    )
    synthetic_fraction: float = Field(
        description="share of the samples that are synthetic, phantoms or copies, in arms "
        "that have any",
        gt=0,
        le=1,
    )
    mix: float = Field(
        description="share of the samples that are mixed with another real patient, in arms with "
        "cutmix, carvemix or tumorcp; less where a patch of that patient has no tumour",
        ge=0,
        le=1,
    )
    classical: ClassicalSettings
    overlap: float = Field(description="overlap of neighbouring inference patches", ge=0, lt=1)

    @model_validator(mode="after")
    def _patch_halves(self) -> "SegmentationSettings":
        whole = self.stem * 2 ** (len(self.widths) - 1)
        if self.patch and any(n < whole or n % whole for n in self.patch):
            raise ValueError(f"each side of the patch must be a multiple of {whole}")
        return self


class SegmentationSection(SegmentationSettings):
    """The segmentation network, the arms that are compared, and how they are scored."""

    arms: list[Arm] = Field(description="what the network is trained on", min_length=1)
    nsd_tolerance_mm: float = Field(
        description="distance at which surfaces still agree, for the normalised surface Dice", gt=0
    )

    @field_validator("arms")
    @classmethod
    def _distinct(cls, arms: list[str]) -> list[str]:
        if len(set(arms)) < len(arms):
            raise ValueError("an arm is named twice")
        return arms
