"""Rule ``summarise_segmentation``: the arms beside each other, for machines and for people."""

from pathlib import Path

from workflow_scripts.common.files import read_table, staged, write_table
from workflow_scripts.evaluation.statistics import BASELINE, summarise
from workflow_scripts.evaluation.tables import latex, markdown, readable
from workflow_scripts.segmentation.settings import METRICS


def caption(patients: int, confidence: float) -> str:
    """What the numbers of the table are."""
    return (
        f"Segmentation of {patients} test patients: mean ± standard deviation over patients (seeds "
        f"averaged first) [{100 * confidence:g} % bootstrap interval of the mean]; p of the paired "
        f"Wilcoxon test against {BASELINE}, corrected by Holm's method. A missed tumour counts as "
        "Dice 0 and the image's diagonal."
    )


def write_text(text: str, path: str | Path) -> None:
    """Write a text file whole or not at all."""
    with staged(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main(snakemake) -> None:
    params = snakemake.params
    scores = read_table(snakemake.input.scores)
    summary = summarise(scores, METRICS, params.bootstrap, params.confidence, params.seed)
    write_table(summary, snakemake.output.csv)
    table = readable(summary, METRICS)
    note = caption(scores["patient_id"].nunique(), params.confidence)
    write_text(f"{markdown(table)}\n{note}\n", snakemake.output.markdown)
    write_text(latex(table, note), snakemake.output.latex)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
