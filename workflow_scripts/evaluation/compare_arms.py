"""Rule ``compare_arms``: do synthetic patients help? A verdict for each question and region."""

from pathlib import Path

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.evaluation.comparisons import choose_opponents, compare


def check_same_patients(scores, other, run: str) -> None:
    """Raise ``UserError`` where another run tested other patients, for an n that both have."""
    for n in set(scores["n"]) & set(other["n"]):
        own, theirs = (set(t.loc[t["n"] == n, "patient_id"]) for t in (scores, other))
        if own != theirs:
            raise UserError(
                f"evaluation.other_runs: {run} tested other patients than this run with n = {n} "
                f"({len(theirs - own)} of them not here); give both the same cohort and splits"
            )


def main(snakemake) -> None:
    params, files = snakemake.params, snakemake.input
    scores = read_table(files.scores)
    others = {}
    for run, path in zip(params.other_runs, files.others, strict=True):
        others[Path(run).name] = read_table(path)
        check_same_patients(scores, others[Path(run).name], run)
    opponents = choose_opponents(read_table(files.validation), params.opponent)
    made = compare(scores, opponents, others, params.confidence, params.seed_sd)
    write_table(made, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
