"""Snakemake runs, as a user would start them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the workflow with ``folder`` as the working directory."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    return subprocess.run(
        [*command, "--cores", "2", *arguments],
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
