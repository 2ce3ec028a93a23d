"""Rule ``write_summary``: the run's results on one page, with their interpretation."""

from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_table, write_text
from workflow_scripts.common.prior import PRIORS
from workflow_scripts.common.words import MODALITIES, split_words
from workflow_scripts.evaluation.adherence import MET
from workflow_scripts.evaluation.comparisons import MAIN
from workflow_scripts.evaluation.in_short import PHANTOMS, in_short
from workflow_scripts.evaluation.memory import memory_text
from workflow_scripts.evaluation.native_scores import native_text
from workflow_scripts.evaluation.table_words import ATTRIBUTES, MEASURES, UNITS, in_words
from workflow_scripts.evaluation.tables import markdown, number, with_interval
from workflow_scripts.evaluation.tumour_contrast import GROUPS
from workflow_scripts.evaluation.verdicts import verdicts_text
from workflow_scripts.synthesis.request_table import CENTROID

PLACES = """\
- `{results}/report/index.html`: all of this as a page, with a viewer to look through patients
- `{results}/evaluation/`: these tables; `scores.csv` has every patient, `segmentation.tex` LaTeX
- `{results}/evaluation/figures/`: training curves, held-out beside synthetic, size sweep, Dice
- `{results}/synthesis/<split>/patients/`: synthetic patients as NIfTI, with their requests
- `{results}/segmentation/<split>/<arm>/predictions/`: labels in template and in native space
- `{results}/preprocess/<patient>/picture.png`: a patient before and after preprocessing
"""
QUALITY = """\
Synthetic patients and reconstructed ones (held-out patients after the autoencoder) are compared
with held-out patients; in the last two columns synthetic ones are compared with reconstructed ones,
so that what differs is due to the diffusion model alone. The floor is what training patients, or
halves of all patients, get in place of synthetic ones; in brackets are intervals over patients.
AUC is how well a small network, cross-fitted over patients, tells slices of the two groups apart:
0.5 is not at all, 1 is always. Slices, outline, volume, detail, contrast and correlation are ratios
of the groups' means: 1 is right. Shares are of patients. Distances are from held-out patients, the
smaller the better. A brain is torn where it has more than one piece before all but the largest is
cut away. Similarity above the floor is less variety. What each number is exactly: docs/numbers.md.
"""


def likeness_text(quality: pd.DataFrame) -> str:
    """How well a small network tells synthetic patients from held-out ones after the autoencoder,
    with the floor, for each modality; the table has each split."""
    chosen = (quality["generator"] == "synthetic") & (quality["measure"] == "auc_reconstructed")
    parts = []
    for modality, rows in quality[chosen].groupby("modality", sort=False):
        row = rows.iloc[0]
        if len(rows) > 1:
            low, high = (number(rows["value"].agg(end), 2) for end in ("min", "max"))
            value, floor = f"{low} to {high} in {len(rows)} splits", number(rows["floor"].mean(), 2)
        else:
            value = with_interval(row["value"], row["low"], row["high"], 2)
            floor = with_interval(row["floor"], row["floor_low"], row["floor_high"], 2)
        parts.append(f"{MODALITIES.get(modality, modality)} **{value}**, floor {floor}")
    if not parts:
        return ""
    return (
        "- Synthetic patients told from held-out ones after the autoencoder by a small network, "
        f"AUC (0.5: not at all; 1: without error): {'; '.join(parts)}. The floor is between "
        "training and held-out patients.\n"
    )


def draws_text(tables: list[pd.DataFrame]) -> str:
    """How often requests were met, at the first draw or later."""
    table = pd.concat(tables)
    met, first = table["outcome"] == "met", table["first_outcome"] == "met"
    faults = table["outcome"].value_counts()
    count = {name: faults.get(name, 0) for name in ("volume", "place", "torn", "holes", "missing")}
    return (
        f"Of {len(table)} requests {(met & first).sum()} were met at the first draw and "
        f"{(met & ~first).sum()} after drawing again ({table['attempts'].mean():.1f} draws a "
        f"request). {count['volume']} have a tumour volume outside the tolerance, "
        f"{count['place']} a centroid outside the tolerance, {count['torn']} a torn brain and "
        f"{count['holes']} a label with holes; their closest draws are used. {count['missing']} "
        f"had no tumour in any draw and were omitted.\n"
    )


def problems(
    tables: dict[str, pd.DataFrame], sweeps: dict[str, pd.DataFrame], others: list[str]
) -> str:
    """Problems that come before any number: synthetic patients from models of other runs, and
    requests without a patient, by split."""
    lines = [
        f"- Synthetic patients come from {other}: its training patients are unknown here. The "
        f"comparison is valid only if they include no test patient."
        for other in others
    ]
    for split, table in tables.items():
        words = split_words(split)
        missing = int((table["outcome"] == "missing").sum())
        if missing == len(table):
            lines.append(
                f"- {words}: **no synthetic patient could be made**; the arms with synthetic "
                f"patients were trained without them, and show nothing about synthesis. Train the "
                " diffusion model for longer (diffusion.steps), or request larger tumours."
            )
        elif missing:
            lines.append(f"- {words}: {missing} of {len(table)} requests have no tumour.")
        if (sweeps[split]["outcome"] == "missing").all():
            lines.append(f"- {words}: no tumour in the sweeps over volumes and centroids.")
    return "## Problems\n\n" + "\n".join(lines) + "\n" if lines else ""


def models_of_others(params) -> list[str]:
    """Model folders from which synthetic patients come."""
    if params.model:
        return [params.model]
    return sorted(set(params.priors) - {*PRIORS, "none"})


def adherence_text(table: pd.DataFrame) -> str:
    """The adherence table at the first draw, rounded. The shares of met requests are in
    ``draws_text``, the axes of the centroid in the table file."""
    shown = table[(table["draw"] == "first") & ~table["attribute"].isin([MET, *CENTROID])]
    rows = []
    for row in shown.itertuples():
        digits = {"ratio": 2, "mm": 1, "1": 3}[row.unit]
        limits = [number(value, digits) for value in (row.limit_low, row.limit_high)]
        rows.append(
            {
                "split": row.split,
                "attribute": ATTRIBUTES.get(row.attribute, row.attribute),
                "unit": UNITS[row.unit],
                "requests": row.n_requests,
                "missing": row.n_missing,
                "bias": with_interval(row.bias, row.bias_low, row.bias_high, digits),
                "limits of agreement": "–" if "–" in limits else " to ".join(limits),
                "median": number(row.median, digits),
                "95th percentile": number(row.p95, digits),
                "slope": number(row.slope, 2),
                "R²": number(row.r2, 2),
                "R² by chance": number(row.r2_shuffled, 2),
            }
        )
    return markdown(in_words(pd.DataFrame(rows).astype(str)))


def contrast_text(table: pd.DataFrame) -> str:
    """Contrast with one column per group, and the ratios of synthetic to reconstructed and to
    training patients with their intervals."""
    keys = ["split", "modality"]
    wide = table.pivot(index=keys, columns="group", values="contrast_z")[list(GROUPS)]
    shown = wide.map(lambda value: number(value, 2))
    for group in ("reconstructed", "training"):
        rows = table[table["group"] == group].set_index(keys).reindex(wide.index)
        shown[f"synthetic / {group}"] = [
            with_interval(row.ratio, row.ratio_low, row.ratio_high, 2) for row in rows.itertuples()
        ]
    shown = shown.rename(columns={"real": "held-out"})
    return markdown(in_words(shown.reset_index()))


def reconstruction_text(table: pd.DataFrame) -> str:
    """The reconstruction table, rounded."""
    shown = table.copy()
    for name, digits in {"psnr_db": 1, "ssim": 3, "label_dice": 3}.items():
        shown[name] = [number(value, digits) for value in table[name]]
    names = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "label_dice": "Dice of the label"}
    return markdown(in_words(shown.rename(columns=names)))


QUALITY_COLUMNS = {
    ("real", "synthetic"): "synthetic",
    ("real", "reconstructed"): "reconstructed",
    ("real", "floor"): "floor",
    ("reconstructed", "synthetic"): "synthetic / reconstructed",
    ("reconstructed", "floor"): "its floor",
}


def quality_text(table: pd.DataFrame) -> str:
    """The quality table with one column per generator and reference, and their floors, for
    synthetic patients if there are any."""
    keys = ["split", "measure", "modality"]
    table = table.astype({"modality": object}).fillna({"modality": ""})
    rows = {}
    # In reverse alphabetical order, synthetic patients come first.
    for row in table.sort_values("generator", ascending=False, kind="stable").itertuples():
        measure = MEASURES.get(row.measure, row.measure)
        cells = rows.setdefault((row.split, measure, row.modality), {})
        cells[row.reference, row.generator] = with_interval(row.value, row.low, row.high, 3)
        floor = with_interval(row.floor, row.floor_low, row.floor_high, 3)
        if cells.get((row.reference, "floor"), "–") == "–":
            cells[row.reference, "floor"] = floor
    named = table.assign(measure=table["measure"].replace(MEASURES))[keys].drop_duplicates()
    shown = [
        dict(zip(keys, key, strict=True))
        | {title: rows[key].get(column, "–") for column, title in QUALITY_COLUMNS.items()}
        for key in named.itertuples(index=False, name=None)
    ]
    return markdown(in_words(pd.DataFrame(shown, columns=[*keys, *QUALITY_COLUMNS.values()])))


def main(snakemake) -> None:
    params = snakemake.params
    scores, comparisons = (read_table(snakemake.input[k]) for k in ("scores", "comparisons"))
    arguments = scores, params.opponent, params.confidence, params.seed_sd
    main_question = comparisons["question"] == MAIN
    tables = {
        k: read_table(snakemake.input[k])
        for k in ("adherence", "reconstruction", "contrast", "quality", "memory")
    }
    attributes, sweeps = (
        dict(zip(params.splits, map(read_table, snakemake.input[k]), strict=True))
        for k in ("attributes", "sweeps")
    )
    parts = [
        "# Results\n",
        *([PHANTOMS] if params.phantoms else []),
        *filter(None, [problems(attributes, sweeps, models_of_others(params))]),
        in_short(comparisons, tables["quality"], params.phantoms, params.confidence),
        "## Did synthetic patients help?\n",
        verdicts_text(comparisons[main_question], *arguments),
        likeness_text(tables["quality"]) + memory_text(tables["memory"]),
        *(
            ["## Other comparisons\n", verdicts_text(comparisons[~main_question], *arguments)]
            if not main_question.all()
            else []
        ),
        "## Segmentation of the test patients\n",
        Path(snakemake.input.markdown).read_text(encoding="utf-8"),
        "## Segmentation in native space\n",
        native_text(scores),
        "## Do synthetic patients have the requested tumour?\n",
        draws_text(list(attributes.values())),
        adherence_text(tables["adherence"]),
        "At the first draw, before any selection. Bias [interval] and limits of agreement are of "
        "measured / requested, on logarithms (unit: ratio), or of measured − requested. Small "
        "tumours are requests of 3 to 10 mL.\n",
        "## Held-out patients after the autoencoder\n",
        reconstruction_text(tables["reconstruction"]),
        "## Contrast of tumours against their surroundings\n",
        contrast_text(tables["contrast"]),
        "In standard deviations of the test patients' brains without their tumours, mean over "
        "patients. Held-out and reconstructed ones are the test patients; training patients are "
        "those on which the generator was trained, whose tumours it can be expected to match.\n",
        "## Synthetic beside held-out patients\n",
        quality_text(tables["quality"]),
        QUALITY,
        "## Where to look\n",
        PLACES.format(results=snakemake.params.results),
    ]
    write_text("\n".join(parts), snakemake.output.summary)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
