"""What a job keeps while it runs, so that a kill loses little of it."""

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
# What a file system answers that has no locks.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


@contextlib.contextmanager
def kept_folder(snakemake: Any, **more: str) -> Iterator[Path]:
    """Yield a folder of the job's own that no rule declares, so that it survives a failed job.

    It is another one where parameters, inputs, threads, packages or ``more`` are others.

    One process has it at a time: a job that outlived a killed Snakemake is waited for. It is
    marked as done at the end, and removed once the whole run has succeeded (``remove_done``),
    since Snakemake itself may be killed before it has noted that the job ended.
    """
    folder = Path(snakemake.params.checkpoints) / job_key(snakemake, **more)
    folder.mkdir(parents=True, exist_ok=True)
    if local_rank():
        yield folder  # the first process of the job has the lock
        return
    with open(folder / "lock", "w") as lock:
        if take(lock) is False:
            logging.warning("an earlier process still works in %s; waiting for its end", folder)
            take(lock, wait=True)
        started, earlier = time.monotonic(), seconds_spent(folder)
        count_earlier(earlier)
        try:
            yield folder
        finally:
            write_text(f"{earlier + time.monotonic() - started:.1f}\n", folder / SECONDS)
        (folder / DONE).touch()


def seconds_spent(folder: Path) -> float:
    """What earlier attempts at a job took that ended in good order; a kill keeps none."""
    file = folder / SECONDS
    return float(file.read_text()) if file.is_file() else 0.0


def take(file: IO[str], wait: bool = False) -> bool | None:
    """Lock an open file; False where another process has it and this one does not ``wait``.

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
    """Remove what jobs kept that have ended since; ``folder`` holds their folders by stage."""
    for marker in Path(folder).glob(f"*/*/{DONE}"):
        shutil.rmtree(marker.parent)


def clear_stale_locks(folder: str | Path) -> IO[str] | None:
    """Remove the locks that a killed Snakemake left in its ``folder``.

    Snakemake marks a folder as in use by files, which outlive a kill. The kernel's lock on the
    file returned here does not: who gets it is alone. ``None`` where another run has it.
    """
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    running = open(folder / "running", "w")  # noqa: SIM115  it stays open as long as the run
    taken = take(running)
    if taken is False:
        running.close()
        return None
    if taken is None:
        return running  # nobody knows whether another run is alive
    for lock in (folder / "locks").glob("*"):
        lock.unlink()
    return running
