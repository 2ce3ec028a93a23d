"""Rule ``summarise_segmentation``: the scores of all arms as CSV, Markdown and LaTeX."""

import pandas as pd

from workflow_scripts.common.files import read_table, write_table, write_text
from workflow_scripts.evaluation.comparisons import opponents_of
from workflow_scripts.evaluation.statistics import LEAST_SEEDS, summarise
from workflow_scripts.evaluation.tables import METRICS, latex, markdown, readable
from workflow_scripts.evaluation.verdicts import verdicts_text


def caption(scores: pd.DataFrame, confidence: float, seed_sd: float, grid: dict) -> str:
    """The caption of the table."""
    patients, regions = scores["patient_id"].nunique(), scores["region"].nunique()
    seeds = scores.groupby("n")["seed"].nunique().min()
    voxel = " × ".join(f"{side:g}" for side in grid["spacing_mm"])
    if seeds < LEAST_SEEDS:
        interval = f"assumes a standard deviation between seeds of {seed_sd:g}"
    else:
        interval = f"is over patients and {seeds} crossed seeds"
    if regions > 1:
        interval += f", corrected for {regions} regions"
    return (
        f"Segmentation of {patients} test patients: mean ± standard deviation over patients (seeds "
        "averaged first). Difference: Dice minus the opponent's, paired by patient and seed; its "
        f"{100 * confidence:g} % interval {interval}. Measured in template space (MNI152), on "
        f"voxels of {voxel} mm. A missed tumour counts as Dice 0 and the image's diagonal. n "
        "counts the training patients; the validation patients are labelled too."
    )


def main(snakemake) -> None:
    params, files = snakemake.params, snakemake.input
    scores = read_table(files.scores)
    opponents = opponents_of(scores, files.get("validation"), params.opponent)
    summary = summarise(scores, opponents, METRICS, params.confidence, params.seed_sd)
    write_table(summary, snakemake.output.csv)
    table = readable(summary, METRICS)
    note = caption(scores, params.confidence, params.seed_sd, params.grid)
    text = f"{markdown(table)}\n{note}\n"
    if comparisons := files.get("comparisons"):
        named = scores["arm"].iloc[0], params.confidence, params.seed_sd
        text = f"{verdicts_text(read_table(comparisons), scores, *named)}\n{text}"
    write_text(text, snakemake.output.markdown)
    write_text(latex(table, note), snakemake.output.latex)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
