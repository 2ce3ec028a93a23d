"""Snakemake runs, as a user would start them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_snakemake(
    folder: Path, *arguments: str, snakefile: Path = ROOT / "Snakefile", **variables: str
) -> subprocess.CompletedProcess:
    """Run the workflow with ``folder`` as the working directory, and environment variables.

    Each job has one thread: at this size it starts for longer than it works, and two jobs at a
    time end sooner than one after the other.
    """
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "2",
        "--max-threads", "1",
    ]  # fmt: skip
    return subprocess.run(
        [*command, *arguments], env={**os.environ, **variables},
        cwd=folder, capture_output=True, text=True, check=False,
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
