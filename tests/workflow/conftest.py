"""One run of the tiny set-up, for all tests that look at one."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_run(snakemake, tmp_path_factory) -> Path:
    """A folder in which the tiny set-up ran from end to end."""
    folder = tmp_path_factory.mktemp("tiny")
    done = snakemake(folder, "--configfile", str(ROOT / "config" / "tiny.yaml"))
    assert done.returncode == 0, done.stderr[-4000:]
    return folder
