"""The workflow as a module of another one, from a folder that holds nothing of this project."""

from pathlib import Path

SNAKEFILE = Path(__file__).resolve().parents[2] / "Snakefile"
ANOTHER = """
configfile: "mine.yaml"

module sbldm:
    snakefile: "{snakefile}"
    config: config["synthesis_of_patients"]

use rule * from sbldm as sbldm_*

rule everything:
    default_target: True
    input:
        rules.sbldm_all.input,
"""
MINE = """
synthesis_of_patients:
  results: made
  cohort: {phantom: {deformation_mm: 2}, splits: {train_sizes: [2], validation: 1, test: 2}}
"""


def test_another_workflow_takes_it_as_a_module(snakemake, tmp_path):
    (tmp_path / "Snakefile").write_text(ANOTHER.format(snakefile=SNAKEFILE))
    (tmp_path / "mine.yaml").write_text(MINE)
    other = {"snakefile": tmp_path / "Snakefile"}
    planned = snakemake(tmp_path, "--dry-run", **other)
    assert planned.returncode == 0, planned.stderr[-4000:]
    assert "sbldm_train_diffusion" in planned.stdout + planned.stderr
    done = snakemake(tmp_path, "made/cohort/splits.tsv", **other)
    assert done.returncode == 0, done.stderr[-4000:]
    splits = (tmp_path / "made" / "cohort" / "splits.tsv").read_text()
    assert splits.count("n2-s0") == 5
