"""Names in the configuration and in result folders as readable text."""

import re

MODALITIES = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
REGIONS = {"WT": "whole tumour", "TC": "tumour core", "ET": "enhancing tumour"}
SPLIT = re.compile(r"(n|fold)(\d+)-s(\d+)")


def split_words(split: str) -> str:
    """A split's name as text: ``n8-s0`` has 8 training patients and seed 0."""
    parts = SPLIT.fullmatch(split)
    if not parts:
        return split
    kind, number, seed = parts.groups()
    count = f"{number} training patient{'s' if number != '1' else ''}"
    return f"{count if kind == 'n' else f'fold {number}'}, seed {seed}"


def region_words(region: str) -> str:
    """A region's name, with its abbreviation."""
    return f"{REGIONS[region]} ({region})" if region in REGIONS else region
