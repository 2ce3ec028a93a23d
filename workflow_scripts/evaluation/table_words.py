"""Readable names for the rows of the summary's tables; ``docs/numbers.md`` defines each number."""

import pandas as pd

from workflow_scripts.common.words import MODALITIES, split_words

MEASURES = {
    "auc_reconstructed": "told apart by a network (AUC)",
    "auc_real": "told apart by a network (AUC)",
    "slice_ratio": "difference of neighbouring slices",
    "outline_roughness": "roughness of the brain's outline",
    "brain_ml": "volume of the brain",
    "fine_detail": "fine detail",
    "white_matter_grain": "grain of white matter",
    "white_matter_stripes": "stripes in white matter",
    "tumour_detail": "fine detail in the tumour",
    "bright_in_one_piece": "tumour's brightest quarter in one piece",
    "grey_white_contrast": "contrast of white and grey matter",
    "contrast_spread": "spread of that contrast over patients",
    "left_right_correlation": "left–right correlation",
    "label_with_holes": "share of labels with holes",
    "torn_brain": "share of torn brains",
    "frechet": "Fréchet distance of features",
    "kernel": "kernel distance of features",
    "intensity_tumour": "distance of intensities, tumour",
    "intensity_surroundings": "distance of intensities, surroundings",
    "intensity_rest": "distance of intensities, rest of the brain",
    "pair_similarity": "similarity of pairs of patients",
}
ATTRIBUTES = {
    "volume_ml": "volume",
    "small_volume_ml": "volume, small tumours",
    "sphericity": "sphericity",
    "core_share": "share of the core",
    "enhancing_share": "share of the enhancing tumour",
    "centroid_distance_mm": "distance of the centroids",
}
UNITS = {"ratio": "ratio", "mm": "mm", "1": "difference"}


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A table with readable splits and modalities, and without the column of a single split."""
    table = table.replace({"modality": MODALITIES})
    if table["split"].nunique() == 1:
        return table.drop(columns="split")
    return table.assign(split=table["split"].map(split_words))
