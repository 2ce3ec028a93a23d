"""Snakemake runs, as a user would start them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 900
# What a user may have set for runs of their own.
FOREIGN = ("SNAKEMAKE_PROFILE", "SNAKEMAKE_OUTPUT_CACHE", "PYTHONPATH")


def run_snakemake(
    folder: Path, *arguments: str, snakefile: Path = ROOT / "Snakefile", **variables: str
) -> subprocess.CompletedProcess:
    """Run the workflow with ``folder`` as the working directory, and environment variables.

    Each job has one thread: at this size it starts for longer than it works, and two jobs at a
    time end sooner than one after the other.
    """
    clean = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "2",
        "--max-threads", "1",
    ]  # fmt: skip
    return subprocess.run(
        [*command, *arguments], env={**clean, **variables}, cwd=folder, timeout=LONGEST_S,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def snakemake():
    """The function that runs the workflow."""
    return run_snakemake


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A folder in which the tiny set-up ran from end to end."""
    folder = tmp_path_factory.mktemp("tiny")
    done = run_snakemake(folder, "--configfile", str(ROOT / "config" / "tiny.yaml"))
    assert done.returncode == 0, done.stderr[-4000:]
    return folder
