"""Rule ``summarise_segmentation``: the arms beside each other, for machines and for people."""

from workflow_scripts.common.files import read_table, write_table, write_text
from workflow_scripts.evaluation.statistics import BASELINE, summarise
from workflow_scripts.evaluation.tables import METRICS, latex, markdown, readable


def caption(patients: int, confidence: float, grid: dict) -> str:
    """What the numbers of the table are."""
    voxel = " × ".join(f"{side:g}" for side in grid["spacing_mm"])
    return (
        f"Segmentation of {patients} test patients: mean ± standard deviation over patients (seeds "
        f"averaged first) [{100 * confidence:g} % bootstrap interval of the mean]; p of the paired "
        f"Wilcoxon test against {BASELINE}, corrected by Holm's method. Measured in template space "
        f"(MNI152), on voxels of {voxel} mm. A missed tumour counts as Dice 0 and the image's "
        "diagonal. n counts the training patients; the validation patients are labelled too."
    )


def main(snakemake) -> None:
    params = snakemake.params
    scores = read_table(snakemake.input.scores)
    summary = summarise(scores, METRICS, params.bootstrap, params.confidence, params.seed)
    write_table(summary, snakemake.output.csv)
    table = readable(summary, METRICS)
    note = caption(scores["patient_id"].nunique(), params.confidence, params.grid)
    write_text(f"{markdown(table)}\n{note}\n", snakemake.output.markdown)
    write_text(latex(table, note), snakemake.output.latex)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
