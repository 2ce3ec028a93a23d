"""The tiny set-up on a real Slurm, rule by rule. `make test-slurm` starts and stops one."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "config" / "tiny.yaml"
# What this Slurm lacks: an accounting database, a queue to wait in, and room.
HERE = (
    "--slurm-no-account", "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "1",
    "--latency-wait", "5",
    # This node has two cores, and the tables of a group would ask for more.
    "--cores", "2",
)  # fmt: skip
# Every kind of job is there with one arm of the four and one test patient.
SHORT = ("segmentation={arms: [real+synthetic]}", "cohort={splits: {test: 1}}")
SAID = "said.txt"
MODEL = "results-tiny/autoencoder/n2-s0/model/weights.safetensors"


def cluster_for_tests_answers() -> bool:
    """Whether the Slurm here is the one that `make test-slurm` starts, and nobody's own."""
    if not shutil.which("scontrol"):
        return False
    found = subprocess.run(
        ["scontrol", "show", "config"], capture_output=True, text=True, check=False
    )
    return found.returncode == 0 and "sbldm-test" in found.stdout


pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """These tests fail, with the reason, where their Slurm is not there."""
    assert cluster_for_tests_answers(), "no Slurm for tests runs here; see `make test-slurm`"


def start(folder: Path, profile: str, *arguments: str) -> subprocess.Popen:
    """Start the workflow in a folder with a profile that users take."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    given = ["--workflow-profile", str(ROOT / "profiles" / profile), "--configfile", str(TINY)]
    with open(folder / SAID, "w") as said:
        return subprocess.Popen(
            [*command, *given, *arguments], cwd=folder, stdout=said, stderr=said, text=True
        )


def succeeds(folder: Path, process: subprocess.Popen) -> None:
    """Wait for a run to end, and see that it ended well."""
    assert process.wait() == 0, (folder / SAID).read_text()[-4000:]


def slurm_jobs() -> dict[str, dict[str, str]]:
    """What Slurm itself knows of each job, by its id."""
    text = subprocess.run(
        ["scontrol", "show", "jobs", "--oneliner"], capture_output=True, text=True, check=True
    ).stdout
    records = (dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines())
    return {record["JobId"]: record for record in records if "JobId" in record}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A folder in which the tiny set-up ran through Slurm."""
    folder = tmp_path_factory.mktemp("slurm")
    succeeds(folder, start(folder, "slurm", *HERE, "--config", *SHORT))
    return folder


def provenance(folder: Path) -> list[dict]:
    """What each job of the run wrote about itself."""
    files = (folder / "results-tiny").glob("**/provenance/**/*.json")
    return [json.loads(file.read_text()) for file in files]


def test_every_rule_was_a_slurm_job(run):
    records, known = provenance(run), slurm_jobs()
    rules = {file.stem for file in (ROOT / "workflow_scripts").glob("*/*_*.py")}
    ran = {record["rule"] for record in records}
    assert {"make_phantom", "preprocess_patient", "train_diffusion", "write_summary"} <= ran
    assert ran <= rules | {"synthesise_sweep"}
    for record in records:
        job = known[record["machine"]["slurm_job"]]
        assert job["JobState"] == "COMPLETED", record["rule"]


@pytest.mark.parametrize(
    ("rule", "cpus", "memory", "time_limit", "gpu"),
    [
        ("train_autoencoder", "2", "2025M", "12:00:00", True),
        ("train_diffusion", "2", "2049M", "1-00:00:00", True),
        ("encode_patients", "2", "1512M", "04:00:00", True),
        ("list_participants", "2", "4000M", "01:00:00", False),
    ],
)
def test_each_job_asked_for_what_its_rule_says(run, rule, cpus, memory, time_limit, gpu):
    record = next(record for record in provenance(run) if record["rule"] == rule)
    job = slurm_jobs()[record["machine"]["slurm_job"]]
    assert job["NumCPUs"] == cpus
    assert job["MinMemoryNode"] == memory
    assert job["TimeLimit"] == time_limit
    assert ("gpu" in job.get("TresPerJob", "") + job.get("TresPerNode", "")) == gpu
    assert job["Partition"] == ("gpu" if gpu else "cpu")
    assert job["JobName"].startswith("sbldm")


def test_the_short_jobs_of_a_patient_share_one(run):
    ids = {
        (r["rule"], r["wildcards"].get("patient")): r["machine"]["slurm_job"]
        for r in provenance(run)
    }
    made = {patient: job for (rule, patient), job in ids.items() if rule == "make_phantom"}
    assert len(made) == len(set(made.values())) == 4
    for patient, job in made.items():
        assert ids["preprocess_patient", patient] == job


def test_a_job_killed_at_its_time_goes_on_to_the_same_weights(run, copy_run, tmp_path):
    # Slurm's shortest limit is a minute, and it may look only half a minute later: these steps take
    # longer on a machine half as fast again as the one where they take two minutes. The
    # second attempt has the time it needs. Each has a core.
    # The plugin asks after 7, 24, 51 and 88 s: then the first attempt has just ended.
    polls = ("--slurm-init-seconds-before-status-checks", "7")
    limits = ("train_autoencoder:runtime=attempt**6", "train_autoencoder:checkpoint_seconds=10")
    config = ("--config", *SHORT, "autoencoder={steps: 2600}")
    longer = ("--set-threads", "train_autoencoder=1", *config)
    whole, broken = (copy_run(run, tmp_path / name) for name in ("whole", "broken"))
    unbroken = start(whole, "default", "--cores", "1", *longer, "--", MODEL)
    again = start(broken, "slurm", *HERE, *polls, "--set-resources", *limits, *longer, "--", MODEL)
    succeeds(whole, unbroken)
    succeeds(broken, again)
    logs = broken / "results-tiny" / "logs" / "autoencoder" / "train_autoencoder"
    # The first is of the run that was copied.
    attempts = [file.read_text() for file in sorted(logs.glob("n2-s0.log.*"))][1:]
    assert len(attempts) >= 2
    assert "stopped by a signal after step" in attempts[0]
    assert "resuming from step" in attempts[1]
    states = [job["JobState"] for job in slurm_jobs().values()]
    assert "TIMEOUT" in states
    assert (whole / MODEL).read_bytes() == (broken / MODEL).read_bytes()
