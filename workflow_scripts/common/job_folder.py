"""Folders in which a job stores its progress, so that little is lost when it is killed."""

import contextlib
import errno
import fcntl
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from workflow_scripts.common.files import write_text
from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.provenance import count_earlier, job_key

DONE, SECONDS = "done", "seconds"
# Errors of a file system without locks.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


@contextlib.contextmanager
def kept_folder(snakemake: Any, **more: str) -> Iterator[Path]:
    """Yield a folder for the job that no rule declares, so that it survives a failed job.

    Other parameters, inputs, threads, packages or ``more`` give another folder.

    One process uses it at a time: if a job has outlived a killed Snakemake, its end is awaited. The
    folder is marked as done at the end, and removed once the whole run has succeeded
    (``remove_done``), since Snakemake itself may be killed before it has recorded the end of the
    job.
    """
    folder = Path(snakemake.params.checkpoints) / job_key(snakemake, **more)
    folder.mkdir(parents=True, exist_ok=True)
    if local_rank():
        yield folder  # the first process of the job holds the lock
        return
    with open(folder / "lock", "w") as lock:
        if take(lock) is False:
            logging.warning(
                "an earlier process is still running in %s; waiting for it to end", folder
            )
            take(lock, wait=True)
        started, earlier = time.monotonic(), seconds_spent(folder)
        count_earlier(earlier)
        try:
            yield folder
        finally:
            write_text(f"{earlier + time.monotonic() - started:.1f}\n", folder / SECONDS)
        (folder / DONE).touch()


def seconds_spent(folder: Path) -> float:
    """Seconds of earlier attempts at a job that ended in an orderly way; a kill records none."""
    file = folder / SECONDS
    return float(file.read_text()) if file.is_file() else 0.0


def take(file: IO[str], wait: bool = False) -> bool | None:
    """Lock an open file; False if another process holds the lock and this one does not ``wait``.

    ``None`` on a file system without locks (Lustre without ``-o flock``), with a warning.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        logging.warning(
            "%s: the file system has no locks (%s); start one run at a time in this folder",
            file.name, error.strerror,
        )  # fmt: skip
        return None
    return True


def remove_done(folder: str | Path) -> None:
    """Remove the folders of finished jobs; ``folder`` has a folder for each stage."""
    for marker in Path(folder).glob(f"*/*/{DONE}"):
        shutil.rmtree(marker.parent)


def clear_stale_locks(folder: str | Path) -> IO[str] | None:
    """Remove the locks that a killed Snakemake left in its ``folder``.

    Snakemake marks a folder as in use with files, which outlive a kill. The kernel's lock on the
    file returned here does not, so whoever holds it is the only run. ``None`` if another run holds
    it.
    """
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    running = open(folder / "running", "w")  # noqa: SIM115  it stays open as long as the run
    taken = take(running)
    if taken is False:
        running.close()
        return None
    if taken is None:
        return running  # whether another run is alive is unknown
    for lock in (folder / "locks").glob("*"):
        lock.unlink()
    return running
