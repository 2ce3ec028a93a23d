"""One run of the tiny set-up, for all tests that look at one."""

from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_run(snakemake, tmp_path_factory, worker_id) -> Path:
    """A folder in which the tiny set-up ran from end to end, once for all test processes. Tests
    read it; what runs again or writes does so in a copy (``copy_run``)."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder, done = shared / "tiny", shared / "tiny.done"
    with FileLock(shared / "tiny.lock"):
        if not done.exists():
            # Whichever process is the first to come makes it, or fails for all.
            folder.mkdir()
            made = snakemake(folder, "--configfile", str(ROOT / "config" / "tiny.yaml"))
            assert made.returncode == 0, made.stderr[-4000:]
            done.touch()
    return folder
