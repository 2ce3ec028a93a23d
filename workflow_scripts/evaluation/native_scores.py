"""A readable table of scores in native space and of the official BraTS evaluation."""

import numpy as np
import pandas as pd

from workflow_scripts.evaluation.tables import markdown, number

# Heading and digits of each mean.
MEANS = {
    "native_dice": ("Dice", 3),
    "native_hd95_mm": ("HD95 (mm)", 1),
    "native_nsd": ("NSD", 3),
    "official_dice": ("official Dice", 3),
    "official_hd95_voxels": ("official HD95 (voxels)", 1),
    "official_nsd": ("official NSD", 3),
    "lesion_dice": ("lesion Dice", 3),
}
COUNTS = ("lesion_tp", "lesion_fp", "lesion_fn")
NATIVE = """\
All are means over test patients and seeds, on the voxels of each patient's own image, against the
label as it was drawn. `+ k ∞` counts infinite values, `+ k –` those of patients in
whom neither side has the region; the mean leaves both out.

- Dice, HD95, NSD: by the definitions of the table in template space.
- official Dice: overlap of the whole region; 0 if the region is missed or a false positive.
- official HD95: 95th percentile of the border distances of both directions taken together, in
  voxels; ∞ if the region is missed or a false positive.
- official NSD: mean of both directions' shares of border voxels that lie on the other border.
- lesions matched / extra / missed: connected components of prediction and reference, paired one to
  one so that the sum of their Dice is largest; totals over patients and seeds.
- lesion Dice: mean Dice of a patient's pairs; 0 without a pair.
"""


def mean_text(values: pd.Series, digits: int) -> str:
    """Mean of the finite values, and how many were infinite (∞) or missing (–)."""
    finite = values[np.isfinite(values)]
    excluded = {"∞": int(np.isinf(values).sum()), "–": int(values.isna().sum())}
    parts = [number(float(finite.mean()), digits)] if len(finite) else []
    parts += [f"{count} {sign}" for sign, count in excluded.items() if count]
    return " + ".join(parts)


def native_text(scores: pd.DataFrame) -> str:
    """A Markdown table of the scores in native space, with their definitions.

    ``scores`` has the columns of ``scores.csv``. There is one row per n, arm and region.
    """
    rows = []
    for (n, arm, region), group in scores.groupby(["n", "arm", "region"], sort=False):
        row = {"n": str(n), "arm": arm, "region": region}
        row |= {title: mean_text(group[name], digits) for name, (title, digits) in MEANS.items()}
        counts = " / ".join(str(int(group[name].sum())) for name in COUNTS)
        rows.append(row | {"lesions matched / extra / missed": counts})
    return markdown(pd.DataFrame(rows)) + "\n" + NATIVE
