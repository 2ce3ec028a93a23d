"""The ``cohort`` section of the configuration."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.settings import Section

LabelScheme = Literal["brats2015", "brats2017", "brats2023", "brats2024", "msd", "whole_tumour"]


class PhantomSettings(Section):
    """What the embedded patients look like. Amounts of 0 switch an effect off."""

    patients: int | None = Field(
        description="number of patients; null: as many as the splits need", ge=3
    )
    volume_ml: tuple[float, float] = Field(
        description="smallest and largest whole tumour in mL, log-uniform between them"
    )
    deformation_mm: float = Field(
        description="sd of the smooth deformation of MNI152, in mm", ge=0, le=8
    )
    rotation_deg: float = Field(description="largest rotation of the head", ge=0, le=20)
    displacement_mm: float = Field(
        description="largest shift of a modality from the reference, along each axis", ge=0, le=15
    )
    displacement_deg: float = Field(
        description="largest rotation of a modality from the reference, about each axis",
        ge=0,
        le=15,
    )
    mass_effect: float = Field(
        description="largest push on the surroundings, as a share of the tumour's radius",
        ge=0,
        le=0.35,
    )
    visibility: tuple[float, float] = Field(
        description="range of the tumour's contrast, 1 being an obvious tumour"
    )
    confounders: float = Field(
        description="amount of white-matter lesions and periventricular caps, never labelled",
        ge=0,
        le=5,
    )
    contrast: float = Field(description="sd of the log of each tissue's intensity", ge=0, le=0.4)
    bias: float = Field(description="sd of the log of the bias field", ge=0, le=0.5)
    texture: float = Field(description="sd of the tissue's texture, relative", ge=0, le=0.5)
    noise: float = Field(
        description="sd of the Rician noise, relative to white matter in T1", ge=0, le=0.3
    )

    @field_validator("volume_ml")
    @classmethod
    def _volumes(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 1 <= value[0] <= value[1] <= 200:
            raise ValueError("two volumes from 1 to 200 mL are needed, the smaller first")
        return value

    @field_validator("visibility")
    @classmethod
    def _visibility(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 2:
            raise ValueError("two numbers above 0 and up to 2 are needed, the smaller first")
        return value


class SplitSettings(Section):
    """Who trains and who tests. Splits are by patient, and each is named ``n<N>-s<seed>``."""

    train_sizes: list[int] = Field(
        description="numbers of training patients; for one seed the larger sets hold the smaller",
        min_length=1,
    )
    seeds: list[int] = Field(description="seeds that draw the training patients", min_length=1)
    validation: int = Field(description="validation patients, the same in all splits", ge=1)
    test: int = Field(description="test patients, the same in all splits", ge=1)
    test_seed: int = Field(description="seed that draws test and validation patients", ge=0)

    @field_validator("train_sizes")
    @classmethod
    def _sizes(cls, value: list[int]) -> list[int]:
        if min(value) < 1 or len(set(value)) < len(value):
            raise ValueError("sizes must be at least 1, and each named once")
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: list[int]) -> list[int]:
        if min(value) < 0 or len(set(value)) < len(value):
            raise ValueError("seeds must be at least 0, and each named once")
        return value

    @property
    def patients_needed(self) -> int:
        """The smallest cohort that these splits can be drawn from."""
        return max(self.train_sizes) + self.validation + self.test


class CohortSettings(Section):
    """Where the patients come from, and how they are split."""

    source: Literal["phantom", "brats", "msd", "table"] = Field(
        description="phantom: patients made on the spot; brats: a folder of BraTS cases, 2017 on; "
        "msd: Task01_BrainTumour; table: a TSV of files"
    )
    root: str | None = Field(description="folder of a brats or msd cohort")
    table: str | None = Field(
        description="TSV with patient_id, a column a modality, label, optionally brain_mask"
    )
    label_scheme: LabelScheme | None = Field(
        description="label values of a table cohort; brats and msd tell theirs"
    )
    phantom: PhantomSettings
    splits: SplitSettings

    @property
    def phantom_count(self) -> int:
        """The number of patients of a phantom cohort."""
        return self.phantom.patients or self.splits.patients_needed

    @model_validator(mode="after")
    def _source_has_its_files(self) -> "CohortSettings":
        if self.source in ("brats", "msd") and not self.root:
            raise ValueError(f"source '{self.source}' needs cohort.root, the folder of the data")
        if self.source == "table" and not self.table:
            raise ValueError("source 'table' needs cohort.table, the TSV that names the files")
        if self.source == "table" and not self.label_scheme:
            raise ValueError("source 'table' needs cohort.label_scheme, such as brats2015")
        return self
