"""The training patients and their warped copies, as anatomies and backgrounds of synthetic
patients."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError, read_table
from workflow_scripts.common.labels import from_nested
from workflow_scripts.common.stored import StoredRows, unpack_mask
from workflow_scripts.preprocess.contrasts import fill_intensities, region_volumes
from workflow_scripts.synthesis.request_table import TRAINING


def copy_names(attributes: pd.DataFrame) -> list[str]:
    """The names in requests for the rows of a table of training patients and copies."""
    pairs = zip(attributes["patient_id"], attributes["copy"], strict=True)
    return [f"{TRAINING}{name}/{copy}" for name, copy in pairs]


@dataclass(frozen=True)
class TrainingCopies:
    """A denoiser's training data, by their names in requests.

    ``latents`` (N, C, h, w, Z), ``tissue`` (N, 3, X, Y, Z), 0 to 255, ``contrasts`` of
    ``fit_contrasts`` and ``tumours`` (packed nested masks) are read from disk; ``intensities``
    (N, 3, M) of tumour regions have no missing values (``fill_intensities``); ``rows`` has the row
    numbers by name.
    """

    rows: dict[str, int]
    latents: StoredRows
    tissue: StoredRows
    contrasts: StoredRows
    intensities: NDArray[np.float32]
    tumours: StoredRows

    @classmethod
    def load(
        cls,
        attributes: str,
        latents: str,
        tissue: str,
        contrasts: str,
        intensities: str,
        tumours: str,
    ) -> "TrainingCopies":
        """From the files of ``encode_patients``."""
        table = read_table(attributes)
        rows = {name: row for row, name in enumerate(copy_names(table))}
        stored = (StoredRows(file) for file in (latents, tissue, contrasts))
        volumes = region_volumes(table)
        complete = fill_intensities(np.load(intensities), np.load(contrasts), volumes)
        return cls(rows, *stored, complete, StoredRows(tumours))

    def row(self, name: str) -> int:
        """The row number of a copy; raises ``UserError`` for an unknown name."""
        if name not in self.rows:
            raise UserError(f"anatomy '{name}' is none of the run's training patients")
        return self.rows[name]

    def tumour(self, name: str) -> NDArray[np.bool_]:
        """Mask (X, Y, Z) of a copy's own tumour."""
        shape = self.tissue.shape[2:]
        return unpack_mask(self.tumours[self.row(name)], shape)

    def label(self, name: str) -> NDArray[np.uint8]:
        """Canonical label (X, Y, Z) of a copy's own tumour."""
        shape = self.tissue.shape[2:]
        return from_nested(unpack_mask(self.tumours[self.row(name)], (3, *shape)))

    def brain(self, name: str) -> NDArray[np.bool_]:
        """Brain mask (X, Y, Z) of a copy."""
        return self.tissue[self.row(name)].any(0)
