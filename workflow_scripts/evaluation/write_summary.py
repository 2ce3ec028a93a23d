"""Rule ``write_summary``: the run's results on one page, with a plain word on what they say."""

from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.common.files import read_table, write_text
from workflow_scripts.evaluation.adherence import UNITS
from workflow_scripts.evaluation.contrast import GROUPS
from workflow_scripts.evaluation.statistics import (
    BASELINE,
    bootstrap_interval,
    paired,
    per_patient,
)
from workflow_scripts.evaluation.tables import markdown, number, p_text

# What comparing each of these arms with the baseline tells of.
ROLES = {
    "real+classical+synthetic": "synthetic patients beside classical augmentation",
    "real+synthetic": "synthetic patients in place of classical augmentation",
    "real+classical+phantoms": "phantoms as the prior learned from, without any diffusion model, "
    "beside classical augmentation",
}
PLACES = """\
- `{results}/report/index.html`: all of this as a page, with a viewer to look through patients
- `{results}/evaluation/`: these tables; `scores.csv` has every patient, `segmentation.tex` LaTeX
- `{results}/evaluation/figures/`: training curves, real beside synthetic, size sweep, Dice
- `{results}/synthesis/<split>/patients/`: synthetic patients as NIfTI, with their requests
- `{results}/segmentation/<split>/<arm>/predictions/`: labels in template and in native space
- `{results}/preprocess/<patient>/picture.png`: a patient before and after preprocessing
"""
QUALITY = """\
The floor is what real patients get in place of generated ones; in brackets are intervals over
patients. auc is how well a small network, cross-fitted over patients, tells a generator's slices
from those of real held-out patients, or of held-out patients after the autoencoder: 0.5 is not at
all, 1 is always; the floor compares training patients with held-out ones of the same kind.
slice_ratio to left_right_correlation are ratios of a generator's mean to the reference's, 1 is
right; the floor is the training patients' ratio. label_with_holes and torn_brain are shares of
patients; the floor is the reference's share. Distances (frechet, kernel: in the features of a
network that saw none of the patients; intensity: Wasserstein) are from real held-out patients, the
smaller the better; the floor is that between two random halves of the real patients, as many on
each side, while reconstructed ones are the held-out patients themselves. nearest_image and
nearest_mask are median distances to the nearest training patient, mirrored too but not warped, with
those of reconstructed held-out patients as the floor: much below it a generator copies.
pair_similarity above the floor is less variety.
"""


def verdict(gain: float, low: float, high: float, p: float, alpha: float) -> str:
    """``helped`` or ``harmed`` if interval and test agree that there is a difference."""
    if p < alpha and low > 0 and gain > 0:
        return "helped"
    if p < alpha and high < 0 and gain < 0:
        return "harmed"
    return "not decided at this size"


def gains(
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    sureness: tuple[int, float, int],
    alpha: float,
) -> pd.DataFrame:
    """What synthetic patients changed in the Dice of the first region, for each n and arm.

    The interval is of the mean paired difference, and has the resamplings, coverage and seed of
    ``sureness``; p is the corrected one of the summary.
    """
    region = scores["region"].iloc[0]
    patients = per_patient(scores[scores["region"] == region], ["dice"])
    rows = []
    counts = scores.groupby("n")["validation"].agg(["min", "max"])
    for n, group in patients.groupby("n"):
        for arm in ROLES:
            if not {arm, BASELINE} <= set(group["arm"]):
                continue
            pair = paired(group, arm, BASELINE, "dice")
            change = pair[:, 0] - pair[:, 1]
            low, high = bootstrap_interval(change, *sureness)
            same = (summary["n"] == n) & (summary["arm"] == arm) & (summary["region"] == region)
            p = float(summary.loc[same, "dice_p"].iloc[0])
            found = {
                "n": n,
                "validation": "–".join(str(v) for v in sorted(set(counts.loc[n]))),
                "arm": arm,
                "region": region,
                "patients": len(change),
            }
            gain = float(change.mean())
            found |= {"gain": gain, "ci_low": low, "ci_high": high, "p": p}
            rows.append({**found, "verdict": verdict(gain, low, high, p, alpha)})
    return pd.DataFrame(rows)


def sentence(gain: pd.Series, seeds: int, confidence: float) -> str:
    """What synthetic patients did in one arm, in words and numbers."""
    change, low, high = (f"{gain[k]:+.3f}".replace("-", "−") for k in ("gain", "ci_low", "ci_high"))
    p = p_text(gain["p"])
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    tested = f"{gain['patients']} test patients, {seeds} {'seed' if seeds == 1 else 'seeds'}"
    return (
        f"With {gain['n']} training and {gain['validation']} validation patients, "
        f"{ROLES[gain['arm']]}: **{gain['verdict']}**. {gain['region']} Dice of "
        f"{gain['arm']} is {change} against {BASELINE} ({100 * confidence:g} % interval {low} to "
        f"{high}, {p}; {tested})."
    )


def sentences(table: pd.DataFrame, scores: pd.DataFrame, confidence: float) -> str:
    """A line for each comparison, and a warning where one seed decides nothing."""
    if table.empty:
        return f"Nothing to compare: the arms lack {BASELINE} or any with synthetic patients.\n"
    seeds = scores.groupby("n")["seed"].nunique()
    lines = [f"- {sentence(row, int(seeds[row['n']]), confidence)}" for _, row in table.iterrows()]
    if seeds.min() < 5:
        lines.append(
            "- Trainings differ from seed to seed by several hundredths of Dice, and the interval "
            "is over test patients alone: fewer than five seeds say little."
        )
    return "\n".join(lines) + "\n"


def draws_text(tables: list[pd.DataFrame]) -> str:
    """How often the tumour was the one asked for, at once or after drawing again."""
    table = pd.concat(tables)
    met, first = table["outcome"] == "met", table["attempts"] == 1
    faults = table["outcome"].value_counts()
    return (
        f"Of {len(table)} requests {(met & first).sum()} were met at the first draw and "
        f"{(met & ~first).sum()} after drawing again ({table['attempts'].mean():.1f} draws a "
        f"request). {faults.get('volume', 0)} kept a tumour of another volume than tolerated and "
        f"{faults.get('place', 0)} one at another place, the closest of their draws; "
        f"{faults.get('missing', 0)} had no tumour in any draw and were left out.\n"
    )


def problems(
    tables: dict[str, pd.DataFrame], sweeps: dict[str, pd.DataFrame], others: list[str]
) -> str:
    """What the reader must know before any number: models of other runs that synthetic patients
    come from, and requests, by split, that gave no patient."""
    lines = [
        f"- Synthetic patients come from {other}: whom it learned from is not known here. The "
        "comparison holds only if it never saw the test patients."
        for other in others
    ]
    for split, table in tables.items():
        missing = int((table["outcome"] == "missing").sum())
        if missing == len(table):
            lines.append(
                f"- {split}: **no synthetic patient could be made**; the arms with synthetic "
                "patients learned from the real ones alone, and say nothing about synthesis. Train "
                "the diffusion model for longer (diffusion.steps), or ask for larger tumours."
            )
        elif missing:
            lines.append(f"- {split}: {missing} of {len(table)} requests gave no tumour.")
        if (sweeps[split]["outcome"] == "missing").all():
            lines.append(f"- {split}: no tumour in the sweeps of size and place.")
    return "## Problems\n\n" + "\n".join(lines) + "\n" if lines else ""


def models_of_others(params) -> list[str]:
    """Folders of models that synthetic patients come from, whoever trained them."""
    if params.model:
        return [params.model]
    return sorted(set(params.priors) - {"embedded", "none"})


def adherence_text(table: pd.DataFrame) -> str:
    """The adherence table with few digits."""
    shown = table[["split", "attribute", "unit", "n_requests"]].copy()
    digits = {"slope": 2, "r2": 2, "mae": 2, "r2_shuffled": 2}
    for name, count in digits.items():
        shown[name] = [number(value, count) for value in table[name]]
    return markdown(shown.astype(str))


def contrast_text(table: pd.DataFrame) -> str:
    """Contrast with a column for each group, and what part of the reconstructed one is left."""
    wide = table.pivot(index=["split", "modality"], columns="group", values="contrast_z")
    wide = wide[list(GROUPS)].reset_index()
    shares = {
        name: wide["synthetic"] / wide[name].where(wide[name].abs() > 0.1)
        for name in ("reconstructed", "training")
    }
    for name in GROUPS:
        wide[name] = [number(value, 2) for value in wide[name]]
    for name, share in shares.items():
        wide[f"synthetic / {name}"] = [
            "–" if np.isnan(value) else f"{100 * value:.0f} %" for value in share
        ]
    return markdown(wide)


def reconstruction_text(table: pd.DataFrame) -> str:
    """The reconstruction table with few digits."""
    shown = table.copy()
    for name, digits in {"psnr_db": 1, "ssim": 3, "label_dice": 3}.items():
        shown[name] = [number(value, digits) for value in table[name]]
    return markdown(shown)


def with_interval(value: float, low: float, high: float) -> str:
    """A value with its interval, where it has one."""
    shown, *ends = (number(part, 3) for part in (value, low, high))
    return shown if "–" in ends else f"{shown} [{', '.join(ends)}]"


def quality_text(table: pd.DataFrame) -> str:
    """The quality table with a column for each generator, beside the floor: that of synthetic
    patients, where there are any."""
    keys = ["split", "measure", "modality", "reference"]
    blank = {"modality": "", "reference": ""}
    table = table.astype(dict.fromkeys(blank, object)).fillna(blank)
    for name, ends in {"value": ("low", "high"), "floor": ("floor_low", "floor_high")}.items():
        rows = table[[name, *ends]].itertuples(index=False)
        table[name] = [with_interval(*row) for row in rows]
    wide = table.pivot(index=keys, columns="generator")
    # Synthetic patients come first, in alphabetical order backwards.
    shown = wide["value"].iloc[:, ::-1].fillna("–")
    shown["floor"] = wide["floor"].iloc[:, ::-1].replace("–", None).bfill(axis=1).iloc[:, 0]
    order = list(table[keys].drop_duplicates().itertuples(index=False, name=None))
    return markdown(shown.fillna("–").loc[order].reset_index())


def main(snakemake) -> None:
    params = snakemake.params
    sureness = params.bootstrap, params.confidence, params.seed
    scores, summary = (read_table(snakemake.input[k]) for k in ("scores", "segmentation"))
    found = gains(scores, summary, sureness, params.alpha)
    tables = {
        k: read_table(snakemake.input[k])
        for k in ("adherence", "reconstruction", "contrast", "quality")
    }
    attributes, sweeps = (
        dict(zip(params.splits, map(read_table, snakemake.input[k]), strict=True))
        for k in ("attributes", "sweeps")
    )
    parts = [
        "# Results\n",
        *filter(None, [problems(attributes, sweeps, models_of_others(params))]),
        "## Did synthetic patients help?\n",
        sentences(found, scores, params.confidence),
        "## Segmentation of the test patients\n",
        Path(snakemake.input.markdown).read_text(encoding="utf-8"),
        "## Do synthetic patients have the tumour that was asked for?\n",
        draws_text(list(attributes.values())),
        adherence_text(tables["adherence"]),
        f"Slope and R² of the line of measured ({', '.join(UNITS)}) on requested; mae is the mean "
        "absolute error; r2_shuffled is what chance gives.\n",
        "## Held-out patients after the autoencoder\n",
        reconstruction_text(tables["reconstruction"]),
        "## Contrast of tumours against their surroundings\n",
        contrast_text(tables["contrast"]),
        "In standard deviations of the real brains without their tumours, mean over patients. "
        "Real and reconstructed ones are the test patients; training ones are those, real too, "
        "that the generator learned from, and whose tumours it can be expected to match.\n",
        "## Synthetic patients beside real ones\n",
        quality_text(tables["quality"]),
        QUALITY,
        "## Where to look\n",
        PLACES.format(results=snakemake.params.results),
    ]
    write_text("\n".join(parts), snakemake.output.summary)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
