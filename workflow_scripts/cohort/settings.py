"""The ``cohort`` section of the configuration."""

import itertools
from typing import Literal

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.geometry import Geometry
from workflow_scripts.common.settings import MOST_PATIENTS, Section, UserPath
from workflow_scripts.phantoms.settings import PhantomSettings

# Phantoms on the grid with a higher number are held out from priors: settings are chosen on them,
# and results reported.
MOST_ON_GRID = 9000

LabelScheme = Literal[
    "brats2015", "brats2017", "brats2023", "brats2024", "brats_ped2024", "msd", "whole_tumour"
]  # fmt: skip


class PhantomSection(PhantomSettings):
    """The embedded patients."""

    patients: int | None = Field(
        description="number of phantoms; null: as many as the splits need", ge=3, le=MOST_PATIENTS
    )


class SplitSettings(Section):
    """Who trains and who tests. Splits are by patient; they are named ``n<N>-s<seed>``, or
    ``fold<k>-s<seed>``."""

    scheme: Literal["draws", "folds", "development"] = Field(
        description="draws (one test set, training sets of several sizes), folds (each patient is "
        "tested once per seed), or development (folds without the test patients of draws; to "
        "choose settings)"
    )
    train_sizes: list[int] = Field(
        description="of draws: numbers of training patients; larger sets of a seed contain the "
        "smaller ones; development uses the smallest",
        min_length=1,
    )
    folds: int = Field(
        description="of folds and development: number of folds, each tested once", ge=2, le=1000
    )
    seeds: list[int] = Field(
        description="each draws training patients or folds and, added to seed, seeds all training",
        min_length=1,
        max_length=1000,
    )
    validation: int = Field(
        description="validation patients; draws: the same in all splits; otherwise: of each fold's "
        "other patients",
        ge=1,
        le=MOST_PATIENTS,
    )
    test: int = Field(
        description="of draws: test patients, the same in all splits; development excludes them",
        ge=1,
        le=MOST_PATIENTS,
    )
    test_seed: int = Field(
        description="of draws: seed that selects test and validation patients", ge=0
    )

    @field_validator("train_sizes")
    @classmethod
    def _sizes(cls, value: list[int]) -> list[int]:
        if min(value) < 1 or max(value) > MOST_PATIENTS or len(set(value)) < len(value):
            raise ValueError(f"sizes must be 1 to {MOST_PATIENTS}, and each named once")
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: list[int]) -> list[int]:
        if min(value) < 0 or len(set(value)) < len(value):
            raise ValueError("seeds must be at least 0, and each named once")
        return value

    @property
    def in_folds(self) -> bool:
        """Whether each patient of the splits is tested once per seed."""
        return self.scheme != "draws"

    @property
    def names(self) -> list[str]:
        """Names of all splits."""
        if self.in_folds:
            return [f"fold{k}-s{s}" for s in self.seeds for k in range(1, self.folds + 1)]
        return [f"n{n}-s{s}" for n in self.train_sizes for s in self.seeds]

    @property
    def shown(self) -> str:
        """The split whose patients figures show: one of those with the most training patients."""
        if self.in_folds:
            return self.names[0]
        return f"n{max(self.train_sizes)}-s{self.seeds[0]}"

    @property
    def viewed(self) -> list[str]:
        """The splits whose predictions the report's viewer shows: ``shown``, and with folds all of
        the first seed. Each test patient is in one of them."""
        if self.in_folds:
            return self.names[: self.folds]
        return [self.shown]

    @property
    def patients_needed(self) -> int:
        """The smallest cohort that these splits can be drawn from."""
        if self.in_folds:
            return self._in_folds + (self.test if self.scheme == "development" else 0)
        return max(self.train_sizes) + self.validation + self.test

    @property
    def _in_folds(self) -> int:
        """The smallest number of patients in folds that leaves enough training patients beside the
        largest fold."""
        return max(self.folds, next(n for n in itertools.count(2) if self._trains(n)))

    @property
    def largest_split(self) -> tuple[int, int]:
        """Training and test patients of the largest split of the smallest possible cohort."""
        if not self.in_folds:
            return max(self.train_sizes), self.test
        tested = -(-self._in_folds // self.folds)
        others = self._in_folds - tested - self.validation
        return self._least if self.scheme == "development" else others, tested

    @property
    def _least(self) -> int:
        """The smallest permitted number of training patients of folds."""
        return min(self.train_sizes) if self.scheme == "development" else 1

    def _trains(self, patients: int) -> bool:
        """Whether folds of so many patients leave enough for training."""
        return patients - -(-patients // self.folds) - self.validation >= self._least

    @property
    def needs(self) -> str:
        """What ``patients_needed`` is made up of, in words."""
        if self.scheme == "folds":
            return f"{self.folds} folds, {self.validation} for validation, one who trains"
        if self.scheme == "development":
            return (
                f"test {self.test}, and {self._in_folds} in {self.folds} folds: "
                f"{self.validation} for validation, {self._least} who train"
            )
        largest = max(self.train_sizes)
        return f"train {largest} + validation {self.validation} + test {self.test}"

    @property
    def lower(self) -> str:
        """The keys to lower if the cohort is too small, in words."""
        return {
            "draws": "train_sizes, validation or test",
            "folds": "folds or validation",
            # Fewer test patients would let those of the study take part.
            "development": "train_sizes or validation",
        }[self.scheme]


class CohortSettings(Section):
    """Where the patients come from, and how they are split."""

    source: Literal["phantom", "phantom_on_grid", "brats", "msd", "table"] = Field(
        description="phantom (simulated patients), phantom_on_grid (simulated brains on the grid, "
        "to train a prior), brats (BraTS folder, 2017 on), msd (Task01_BrainTumour), "
        "or table (TSV of files)"
    )
    root: UserPath | None = Field(description="folder of a brats or msd cohort")
    table: UserPath | None = Field(
        description="TSV of a table cohort: patient_id, one column per modality, label; optional: "
        "brain_mask, subject (the same for all scans of a person)"
    )
    label_scheme: LabelScheme | None = Field(
        description="label values of a table cohort: brats2015, brats2017, brats2023, brats2024, "
        "brats_ped2024, msd, whole_tumour; for a brats cohort only if required"
    )
    geometry: Geometry = Field(
        description="if a header's sform and qform disagree or are missing: ask (the patient is "
        "unusable), sform, qform, or as_stored (the array's axes point right, to the "
        "front and up)"
    )
    exclude: list[str] = Field(description="names of patients to exclude")
    on_error: Literal["stop", "skip"] = Field(
        description="if a patient's files are unusable: stop (the run), or skip (the patient)"
    )
    phantom: PhantomSection
    splits: SplitSettings

    @property
    def made(self) -> bool:
        """Whether the patients are phantoms, which the workflow simulates."""
        return self.source in ("phantom", "phantom_on_grid")

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
        if self.root and self.made:
            raise ValueError(f"root is not for source '{self.source}'; set source: brats or msd")
        if self.table and self.source != "table":
            raise ValueError(f"table is not for source '{self.source}'; set source: table")
        if self.source not in ("table", "brats") and self.label_scheme:
            raise ValueError(f"label_scheme is not for source '{self.source}', which has its own")
        if self.made and self.exclude:
            raise ValueError("exclude is for real patients; lower phantom.patients instead")
        return self
