"""What someone sees who waits: a line a stage, a job's own words, and nothing else."""

import importlib.util
import re
import time
from pathlib import Path

import pytest

from workflow_scripts.common.cuda import cuda_problem
from workflow_scripts.evaluation.last_words import last_words

ROOT = Path(__file__).resolve().parents[2]
TINY = str(ROOT / "config" / "tiny.yaml")
SPLITS = "results-tiny/cohort/splits.tsv"
LOGGER = {"PYTHONPATH": str(ROOT / "terminal")}
PLUGIN = ROOT / "terminal" / "snakemake_logger_plugin_stages" / "__init__.py"
spec = importlib.util.spec_from_file_location("stages", PLUGIN)
plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)


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


def test_a_run_that_finds_everything_up_to_date_says_so(snakemake, tmp_path):
    run(snakemake, tmp_path)
    done = run(snakemake, tmp_path)
    assert done.returncode == 0
    assert "nothing to do: all results are up to date" in done.stderr


def test_the_time_left_follows_from_the_jobs_that_have_ended(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    left = plugin.TimeLeft({"preprocess_patient": (10, 20.0), "train": (2, 600.0)}, cores=2)
    assert left.text() == ""
    left.begin(1, "preprocess_patient", 1)
    now[0] = 40.0
    left.end(1)
    # Jobs take twice as long as expected: 9 × 40 s and 2 × 1200 s on two cores.
    assert left.text() == ", about 23 min left"
    left.begin(2, "train", 2)
    now[0] = 340.0
    assert left.text() == ", about 18 min left"
    left.end(2)
    left.plan({"train": 1, "total": 1})
    assert "h" not in left.text()
    left.plan({"draw_splits": 1, "total": 3})
    assert left.jobs["train"] == 1


def test_a_finished_run_prints_its_answers_and_where_the_report_is(tmp_path):
    folder = tmp_path / "results"
    (folder / "report").mkdir(parents=True)
    (folder / "evaluation").mkdir()
    (folder / "report" / "index.html").touch()
    (folder / "evaluation" / "summary.md").write_text(
        "# Results\n\n**All are phantoms**.\n\n## In short\n\n- **Helped?** No.\n\n## More\n\nx\n"
    )
    text = last_words(str(folder), 0)
    assert text.startswith("\nAll are phantoms.\n\n- Helped? No.\n\n")
    assert text.endswith(f"{folder}/report/index.html\n") and "More" not in text
    # A run of other targets leaves the report as it was.
    assert last_words(str(folder), time.time() + 60) == ""


@pytest.mark.skipif(cuda_problem() is None, reason="this machine has a GPU")
def test_a_gpu_that_was_asked_for_must_be_there(snakemake, tmp_path):
    done = run(snakemake, tmp_path, "--resources", "gpu=1")
    assert done.returncode != 0
    assert "Error: --resources gpu: " in done.stderr
    assert not (tmp_path / "results-tiny").exists()


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


def test_an_error_of_the_system_is_one_line():
    """Snakemake itself creates folders and removes files."""
    message = "Traceback (most recent call last):\n\n  File x\n\n"
    error = "OSError: [Errno 30] Read-only file system: 'a/b.tsv'\n"
    assert plugin.in_words(message + error).startswith("Error: a/b.tsv: the disk is read-only")
    other = message + "KeyError: 'a'\n"
    assert plugin.in_words(other) == other


def test_a_folder_that_is_read_only_is_one_line():
    message = "ProtectedOutputException in rule x:\n    output: a, b\n    affected files:\n  a\n  b"
    assert plugin.in_words(message).startswith("Error: a: may not be written; make its folder")


COMMAND = "RuleException:\nCalledProcessError in file rules/x.smk, line 9:\nCommand 'python x.py' "


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (COMMAND + "returned non-zero exit status 1.", ""),
        (COMMAND + "returned non-zero exit status 2.", "exit status 2"),
        (COMMAND + "died with <Signals.SIGKILL: 9>.", "a job was killed, as happens when memory"),
        ("WorkflowError:\nAt least one job did not complete.", "At least one job"),
    ],
)
def test_of_a_failed_job_its_own_words_are_shown(message, shown):
    text = plugin.in_words(message)
    assert shown in text and bool(shown) == bool(text)
