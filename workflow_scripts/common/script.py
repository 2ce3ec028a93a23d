"""The code around ``main`` that all rule scripts share."""

import datetime
import errno
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.common.files import UserError
from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.provenance import write_provenance

# Errors of the machine, in words.
MACHINE = {
    errno.ENOSPC: "the disk is full; free some space and start again",
    errno.EDQUOT: "the quota of the disk is used up; free some space and start again",
    errno.EROFS: "the disk is read-only; name another folder (results)",
    errno.EACCES: "may not be read or written; change its permissions, or name another folder",
    errno.EPERM: "may not be read or written; change its permissions, or name another folder",
    errno.EIO: "the disk reports an error; check the disk",
}


def attempt_log(log: str | Path) -> Path:
    """The first unused file name beside a rule's log: ``<log>.1``, ``<log>.2``, …

    Snakemake deletes the log itself when it retries a job.
    """
    number = 1
    while (path := Path(f"{log}.{number}")).exists():
        number += 1
    return path


def end_at_once_when_interrupted() -> None:
    """Let Ctrl-C end this process like a kill, unless SIGINT is ignored.

    A ``KeyboardInterrupt`` can be lost: exceptions in destructors are ignored, and C libraries take
    them for errors of their own. The job could then continue with part of its work missing, and
    count as done.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def explained(error: BaseException) -> str | None:
    """An error of the machine in words, with its remedy; ``None`` for any other error."""
    if isinstance(error, OSError) and error.errno in MACHINE:
        # When a file is moved, its target is the second name.
        where = error.filename2 or error.filename
        return f"{where or 'a file'}: {MACHINE[error.errno]}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"there is not enough memory; use a smaller batch, or a larger machine ({error})"
    return None


def words_of(error: BaseException) -> str:
    """The message for an error of the user or of the machine; raises any other error.

    For commands, so that no file that a user names gives a traceback."""
    words = str(error) if isinstance(error, UserError) else explained(error)
    if words is None and isinstance(error, OSError) and error.strerror:
        words = f"{error.filename or 'a file'}: {error.strerror}; name another one"
    if words is None:
        raise error
    return words


def run_script(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call ``main(snakemake)`` with its messages going to the rule's log and to the screen, then
    write the rule's provenance.

    A ``UserError``, a full disk and similar errors end the script with one line and exit code 1 in
    place of a traceback.
    """
    end_at_once_when_interrupted()
    started = datetime.datetime.now(datetime.UTC)
    log = Path(snakemake.log[0])
    screen = logging.StreamHandler(sys.stderr)
    # On the screen, each line names its job; only the file needs times.
    job = " ".join([snakemake.rule, *map(str, dict(snakemake.wildcards.items()).values())])
    screen.setFormatter(logging.Formatter(f"{job}: %(message)s"))
    handlers: list[logging.Handler] = [screen]
    if not local_rank():
        handlers += [logging.FileHandler(log, mode="a"), logging.FileHandler(attempt_log(log))]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True
    )
    try:
        main(snakemake)
        write_provenance(snakemake, snakemake.output.provenance, started)
    except UserError as error:
        logging.getLogger(__name__).error("Error: %s", error)
        sys.exit(1)
    except Exception as error:
        if words := explained(error):
            logging.getLogger(__name__).error("Error: %s", words)
        else:
            logging.getLogger(__name__).exception("%s failed", snakemake.rule)
        sys.exit(1)
