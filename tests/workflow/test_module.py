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


RIVAL = """
module sbldm:
    snakefile: "{snakefile}"
    config: {{}}

use rule * from sbldm

ruleorder: my_generator > synthesise_patients

rule my_generator:
    input:
        requests="results/synthesis/{{split}}/requests.tsv",
    output:
        patients=directory("results/synthesis/{{split}}/patients"),
        attributes="results/synthesis/{{split}}/attributes.tsv",
    shell: "false"
"""


def test_a_rival_generator_stands_in_for_ours(snakemake, tmp_path):
    """As docs/howto/stage.md has it."""
    (tmp_path / "Snakefile").write_text(RIVAL.format(snakefile=SNAKEFILE))
    wanted = "results/synthesis/n8-s0/attributes.tsv"
    planned = snakemake(tmp_path, wanted, "--dry-run", snakefile=tmp_path / "Snakefile")
    assert planned.returncode == 0, planned.stderr[-4000:]
    text = planned.stdout + planned.stderr
    assert "my_generator" in text
    assert "synthesise_patients" not in text
