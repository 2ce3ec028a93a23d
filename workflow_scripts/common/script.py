"""The code around ``main`` that all rule scripts share."""

import contextlib
import datetime
import logging
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.common.files import UserError
from workflow_scripts.common.machine import explained, vanished
from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.provenance import write_provenance


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


def words_of(error: BaseException) -> str:
    """The message for an error of the user or of the machine; raises any other error.

    For commands, so that no file that a user names gives a traceback."""
    words = str(error) if isinstance(error, UserError) else explained(error)
    if words is None and isinstance(error, OSError) and error.strerror:
        words = f"{error.filename or 'a file'}: {error.strerror}; name another one"
    if words is None:
        raise error
    return words


def start_logging(job: str, log: Path) -> logging.Logger:
    """Send messages to the screen, each line with its job, and with times to the rule's log and
    that of the attempt. Returns a logger that writes to the files alone."""
    # Where a log cannot be written, the job's own error says why.
    logging.raiseExceptions = False
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter(logging.Formatter(f"{job}: %(message)s"))
    files: list[logging.Handler] = []
    with contextlib.suppress(OSError):
        if not local_rank():
            files.append(logging.FileHandler(log, mode="a"))
            files.append(logging.FileHandler(attempt_log(log)))
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", handlers=[screen, *files], force=True
    )
    details = logging.getLogger("details")
    details.propagate, details.handlers = False, files or [logging.NullHandler()]
    # Whoever waits for a thread says what failed in it.
    threading.excepthook = lambda failed: details.error("a thread failed", exc_info=failed[:3])
    return details


def run_script(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call ``main(snakemake)`` with its messages going to the rule's log and to the screen, then
    write the rule's provenance.

    A ``UserError``, a full disk and similar errors end the script with one line and exit code 1.
    Their traceback is in the log alone; that of any other error is on the screen too.
    """
    end_at_once_when_interrupted()
    started = datetime.datetime.now(datetime.UTC)
    job = " ".join([snakemake.rule, *map(str, dict(snakemake.wildcards.items()).values())])
    details = start_logging(job, Path(snakemake.log[0]))
    try:
        main(snakemake)
        write_provenance(snakemake, snakemake.output.provenance, started)
    except Exception as error:
        words = str(error) if isinstance(error, UserError) else explained(error) or vanished(error)
        if words:
            logging.getLogger(__name__).error("Error: %s", words)
            if not isinstance(error, UserError):
                details.error("%s failed", snakemake.rule, exc_info=error)
        else:
            logging.getLogger(__name__).exception("%s failed", snakemake.rule)
        sys.exit(1)
