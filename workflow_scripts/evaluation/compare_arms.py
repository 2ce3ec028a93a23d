"""Rule ``compare_arms``: do synthetic patients help? A verdict for each question and region."""

import pandas as pd

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.evaluation.comparisons import compare, opponents_of


def check_same_patients(scores: pd.DataFrame, other: pd.DataFrame, run: str) -> None:
    """Raise ``UserError`` if another run is not comparable: it shares no n, region and seed with
    this run, or has other test patients, by their names and tumour volumes."""
    keys = ["n", "region", "seed"]
    shared = scores[keys].merge(other[keys].drop_duplicates()).drop_duplicates()
    if shared.empty:
        raise UserError(
            f"evaluation.other_runs: {run} shares no number of training patients, region and seed "
            f"with this run; use the same cohort.splits and labels for both"
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
            f"evaluation.other_runs: {run} has other test patients than this run, or another "
            f"grid; use the same cohort, splits and grid for both"
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
