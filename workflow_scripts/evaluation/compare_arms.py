"""Rule ``compare_arms``: do synthetic patients help? A verdict for each question and region."""

import pandas as pd

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.evaluation.comparisons import compare, opponents_of


def check_same_patients(scores: pd.DataFrame, other: pd.DataFrame, run: str) -> None:
    """Raise ``UserError`` where another run cannot be compared: it has no n, region and seed of
    this run's, or tested other patients, by their names and by their tumours' volumes."""
    keys = ["n", "region", "seed"]
    shared = scores[keys].merge(other[keys].drop_duplicates()).drop_duplicates()
    if shared.empty:
        raise UserError(
            f"evaluation.other_runs: {run} shares no number of training patients, region and seed "
            "with this run; give both the same cohort.splits and labels"
        )
    own, theirs = (
        table.merge(shared)
        .groupby([*keys, "patient_id"])["reference_ml"]
        .first()
        .round(3)
        .reset_index()
        for table in (scores, other)
    )
    if not own.equals(theirs):
        raise UserError(
            f"evaluation.other_runs: {run} tested other patients than this run, or on another "
            "grid; give both the same cohort, splits and grid"
        )


def main(snakemake) -> None:
    params, files = snakemake.params, snakemake.input
    scores = read_table(files.scores)
    others = {}
    for run, path in zip(params.other_runs, files.others, strict=True):
        others[run] = read_table(path)
        check_same_patients(scores, others[run], run)
    opponents = opponents_of(scores, files.get("validation"), params.opponent)
    comparisons = compare(scores, opponents, others, params.confidence, params.seed_sd)
    write_table(comparisons, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
