"""What every rule's script does around its work."""

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

# What the machine refuses, in words.
MACHINE = {
    errno.ENOSPC: "the disk is full; free some space and start again",
    errno.EDQUOT: "the quota of the disk is used up; free some space and start again",
    errno.EROFS: "the disk is read-only; name another folder (results)",
    errno.EACCES: "may not be read or written; change its permissions, or name another folder",
    errno.EPERM: "may not be read or written; change its permissions, or name another folder",
    errno.EIO: "the disk reports an error; see that it is healthy",
}


def attempt_log(log: str | Path) -> Path:
    """A file beside a rule's log that no attempt had yet: ``<log>.1``, ``<log>.2``, …

    Snakemake erases the log itself when a job is tried again.
    """
    number = 1
    while (path := Path(f"{log}.{number}")).exists():
        number += 1
    return path


def end_at_once_when_interrupted() -> None:
    """Let Ctrl-C end this process as a kill does, unless it was told to ignore it.

    As an exception it may be lost: what is raised while an object is cleared away is ignored, and
    libraries in C take it for an error of their own. The job could go on with a part of its work
    left out, and count as done.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def explained(error: BaseException) -> str | None:
    """What a user can do about an error of the machine, in words; ``None`` where it is another."""
    if isinstance(error, OSError) and error.errno in MACHINE:
        # The one who moves a file names it second.
        where = error.filename2 or error.filename
        return f"{where or 'a file'}: {MACHINE[error.errno]}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"there is not enough memory; take a smaller batch, or a larger machine ({error})"
    return None


def words_of(error: BaseException) -> str:
    """What is wrong, in words, of an error of the user or of the machine; raises any other.

    For commands: whatever file a user names, there is no traceback."""
    words = str(error) if isinstance(error, UserError) else explained(error)
    if words is None and isinstance(error, OSError) and error.strerror:
        words = f"{error.filename or 'a file'}: {error.strerror}; name another one"
    if words is None:
        raise error
    return words


def run_script(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call ``main(snakemake)`` with its messages going to the rule's log and to the screen, then
    write the rule's provenance.

    A ``UserError``, a full disk and the like end the script with one line and exit code 1 in place
    of a traceback.
    """
    end_at_once_when_interrupted()
    started = datetime.datetime.now(datetime.UTC)
    log = Path(snakemake.log[0])
    screen = logging.StreamHandler(sys.stderr)
    # Of several jobs at once each line says whose it is; when, only a file need tell.
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
