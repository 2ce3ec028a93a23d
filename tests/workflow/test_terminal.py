"""What someone sees who waits: a line a stage, a job's own words, and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = str(ROOT / "config" / "tiny.yaml")
SPLITS = "results-tiny/cohort/splits.tsv"
LOGGER = {"PYTHONPATH": str(ROOT / "terminal")}


def run(snakemake, folder, *more):
    arguments = ["--logger", "stages", "--configfile", TINY, *more, "--", SPLITS]
    return snakemake(folder, *arguments, **LOGGER)


def test_stages_and_words_of_jobs_are_all_that_is_seen(snakemake, tmp_path):
    done = run(snakemake, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow")]
    assert [line.partition(" ")[2].strip() for line in lines if line[0] != "["] == [
        "5 patients, tumours of 7.0 to 116.3 mL",
        "splits: n2-s0",
    ]
    said = [re.sub(r"^\[ +\d+:\d\d\] ", "", line) for line in lines if line[0] == "["]
    assert said == ["cohort", "2 of 2 jobs done"]
    assert done.stderr.replace("\n", "").isprintable()  # no control characters
    (log,) = (tmp_path / ".snakemake" / "log").glob("*.log")
    assert "Finished jobid" in log.read_text()


def test_what_failed_is_named_with_its_log(snakemake, tmp_path):
    wrong = "cohort={source: table, table: patients.tsv, label_scheme: whole_tumour}"
    (tmp_path / "patients.tsv").write_text("patient_id\tflair\tt1ce\tlabel\na\tx\ty\tz\n")
    done = run(snakemake, tmp_path, "--config", wrong)
    assert done.returncode == 1
    assert "list_participants failed; see results-tiny/logs/cohort/list_participants.log" in (
        done.stderr
    )
    assert "list_participants: Error: " in done.stderr
    assert "Traceback" not in done.stderr
