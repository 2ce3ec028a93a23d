"""A logger of Snakemake with one line per stage in place of one per job; all messages are in
Snakemake's log.

``snakemake --logger stages``, if this folder is on Python's path, as in the environment of `make`.
There, with any logger, configurations that Snakemake cannot read are refused in one line, the same
as ``check``'s.
"""

import contextlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from logging import WARNING, LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

PROJECT = Path(__file__).resolve().parents[2]
# Interval of progress lines in a long stage.
EVERY_S = 30.0
# Snakemake's warnings and errors that concern the run.
PRINTED = (None, LogEvent.ERROR, LogEvent.GROUP_ERROR)
NOTHING = "Nothing to be done"
FAILED_COMMAND = "RuleException:\nCalledProcessError"
# The last line of a traceback, with number and file.
SYSTEM_ERROR = re.compile(r"^Traceback .*\n\w+: \[Errno (\d+)\][^:\n]*: '([^'\n]*)'\s*$", re.DOTALL)
PROTECTED = "ProtectedOutputException"
KILLED = ("SIGKILL", "exit status 137")


class TimeLeft:
    """The remaining time of a run, from the number of jobs and the expected core seconds of each
    rule (``workflow_scripts/expected.py``, in ``SBLDM_EXPECTED``), scaled by the finished jobs of
    this run."""

    def __init__(self, expected: dict[str, tuple[int, float]], cores: int) -> None:
        self.seconds = {rule: each for rule, (_, each) in expected.items()}
        self.jobs = Counter({rule: jobs for rule, (jobs, _) in expected.items()})
        self.cores = cores
        self.running: dict[int, tuple[str, int, float]] = {}
        self.known, self.spent = 0.0, 0.0

    def plan(self, jobs: dict[str, int]) -> None:
        """Set the numbers of jobs that Snakemake counts at the start. They are complete unless the
        splits, on which most jobs depend, are yet to be drawn."""
        if "draw_splits" not in jobs:
            self.jobs = Counter({rule: jobs.get(rule, 0) for rule in self.seconds})

    def begin(self, job: int, rule: str, threads: int) -> None:
        """A job starts."""
        self.running[job] = rule, threads, time.monotonic()

    def end(self, job: int) -> None:
        """A job has ended."""
        if job not in self.running:
            return
        rule, threads, began = self.running.pop(job)
        if rule in self.seconds:
            self.jobs[rule] = max(self.jobs[rule] - 1, 0)
            self.known += self.seconds[rule]
            self.spent += threads * (time.monotonic() - began)

    def text(self) -> str:
        """The remaining time as text; empty until a job of a known rule has ended."""
        if not self.known:
            return ""
        left = sum(count * self.seconds[rule] for rule, count in self.jobs.items())
        left *= self.spent / self.known
        now = time.monotonic()
        for rule, threads, began in self.running.values():
            # The time that a running job has used, at most its expected time.
            expected = self.seconds.get(rule, 0.0) * self.spent / self.known
            left -= min(threads * (now - began), expected)
        minutes = max(1, round(left / self.cores / 60))
        hours, rest = divmod(minutes, 60)
        return f", about {f'{hours} h ' * bool(hours)}{rest} min left"


def in_words(message: str) -> str:
    """A message of Snakemake as users need it; "" if it only says which command of a job failed:
    the job has said why, if it was not killed."""
    if message.startswith(PROTECTED):
        file = message.partition("affected files:")[2].split()[0]
        return f"Error: {file}: may not be written; make its folder writable, or name another one"
    if found := SYSTEM_ERROR.search(message):
        sys.path.insert(0, str(PROJECT))
        from workflow_scripts.common.machine import MACHINE

        number, file = int(found[1]), found[2]
        return f"Error: {file}: {MACHINE[number]}" if number in MACHINE else message
    if not message.startswith(FAILED_COMMAND):
        return message
    if any(sign in message for sign in KILLED):
        return "a job was killed, as happens when memory runs out; run fewer jobs at a time"
    return "" if message.rstrip().endswith("exit status 1.") else message


class LogHandler(LogHandlerBase):
    """Writes the start of each stage, the number of finished jobs, and failures to the screen."""

    def __post_init__(self) -> None:
        self.began = self.printed = time.monotonic()
        self.stages: set[str] = set()
        self.done, self.total = 0, 0
        self.left: TimeLeft | None = None

    def emit(self, record: LogRecord) -> None:
        """Print a record as a message to the user."""
        event, more = getattr(record, "event", None), record.__dict__
        if event == LogEvent.RUN_INFO:
            self._time_left().plan(more.get("stats") or {})
        elif event == LogEvent.JOB_INFO:
            self._time_left().begin(record.jobid, record.rule_name, int(more.get("threads") or 1))
            self._begin(more.get("log") or [])
        elif event == LogEvent.JOB_FINISHED:
            self._time_left().end(more.get("job_id"))
        elif event == LogEvent.PROGRESS:
            self._progress(record.done, record.total)
        elif event == LogEvent.JOB_ERROR:
            logs = ", ".join(map(str, more.get("log") or [])) or "Snakemake's log"
            self._say(f"{record.rule_name} failed; see {logs}")
        elif event is None and record.getMessage().startswith(NOTHING):
            self._say("nothing to do: all results are up to date")
        elif record.levelno >= WARNING and event in PRINTED:
            self._complain(record.getMessage())

    def _complain(self, message: str) -> None:
        if text := in_words(message):
            self._say(text)

    def _time_left(self) -> TimeLeft:
        # Created late, since the Snakefile sets the expected times after this handler is created.
        if self.left is None:
            expected = json.loads(os.environ.get("SBLDM_EXPECTED", "{}"))
            self.left = TimeLeft(expected, os.cpu_count() or 1)
        return self.left

    def _begin(self, logs: list) -> None:
        # A rule's log is in logs/<stage>/…
        parts = Path(str(logs[0]).split()[0]).parts if logs else ()
        stage = parts[parts.index("logs") + 1] if "logs" in parts[:-1] else ""
        # Stages overlap, patient by patient: each is printed when it starts.
        if stage and stage not in self.stages:
            self.stages.add(stage)
            done = f", {self.done} of {self.total} jobs done" if self.total else ""
            self._say(f"{stage}{done}{self._time_left().text()}")

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if done == total:
            self._say(f"{done} of {total} jobs done")
        elif time.monotonic() - self.printed >= EVERY_S:
            self._say(f"{done} of {total} jobs done{self._time_left().text()}")

    def _say(self, text: str) -> None:
        self.printed = time.monotonic()
        minutes, seconds = divmod(int(self.printed - self.began), 60)
        print(f"[{minutes:3d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)

    @property
    def writes_to_stream(self) -> bool:
        """It replaces Snakemake's own output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It writes no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """It receives all records."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It formats records itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It draws nothing."""
        return False


def explain_configurations() -> None:
    """Let Snakemake refuse what it cannot read of ``--configfile`` and ``--config`` in one line,
    in place of a traceback.

    It reads both before the Snakefile, which could not explain them.
    """
    from snakemake import cli
    from snakemake.settings.types import ConfigSettings

    read, parse = ConfigSettings._get_overwrite_config, cli.parse_config

    def read_files(self: ConfigSettings) -> dict:
        files = [Path(file) for file in self.configfiles]
        try:
            # Folders are no files, and devices may be read without end.
            if odd := [file for file in files if not (file.is_file() or file.is_fifo())]:
                raise OSError(f"{odd[0]} is no file")
            return read(self)
        except Exception:
            with _refusal():
                from workflow_scripts.common.strict_yaml import read_yaml

                for file in files:
                    read_yaml(file)
            raise

    def parse_values(entries: list[str] | None) -> dict:
        try:
            return parse(entries)
        except ValueError:
            with _refusal():
                from workflow_scripts.command import from_command_line

                from_command_line(tuple(entries or ()), parse)
            raise

    ConfigSettings._get_overwrite_config, cli.parse_config = read_files, parse_values


@contextlib.contextmanager
def _refusal() -> Iterator[None]:
    """End Snakemake with the words of a ``UserError``. The block may import from the project."""
    sys.path.insert(0, str(PROJECT))
    from workflow_scripts.common.files import UserError

    try:
        yield
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "snakemake_logger_plugin_stages":  # as Snakemake imports it
    explain_configurations()
