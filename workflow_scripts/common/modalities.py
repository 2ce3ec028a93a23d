"""The modalities that the workflow knows, and the one in whose frame a patient's label lies."""

from collections.abc import Sequence

MODALITIES = ("t1", "t1ce", "t2", "flair")


def reference_modality(modalities: Sequence[str]) -> str:
    """The modality in whose frame label and brain mask lie: T1ce, else T1, else the first."""
    return next((m for m in ("t1ce", "t1") if m in modalities), modalities[0])
