"""A logger of Snakemake: a line a stage in place of one a job; all else is in Snakemake's log.

``snakemake --logger stages``, where this folder is on Python's path, as in the environment that
`make` sets up.
"""

import json
import os
import sys
import time
from collections import Counter
from logging import WARNING, LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# A stage that takes long says so this often.
EVERY_S = 30.0
# Of Snakemake's warnings and errors those that say something about the run.
TOLD = (None, LogEvent.ERROR, LogEvent.GROUP_ERROR)
NOTHING = "Nothing to be done"


class TimeLeft:
    """The time that a run is expected to need: from the jobs of each rule and the core seconds of
    one (``workflow_scripts/expected.py``, in ``SBLDM_EXPECTED``), corrected by the jobs that this
    run has finished."""

    def __init__(self, expected: dict[str, tuple[int, float]], cores: int) -> None:
        self.seconds = {rule: each for rule, (_, each) in expected.items()}
        self.jobs = Counter({rule: jobs for rule, (jobs, _) in expected.items()})
        self.cores = cores
        self.running: dict[int, tuple[str, int, float]] = {}
        self.known, self.spent = 0.0, 0.0

    def plan(self, jobs: dict[str, int]) -> None:
        """Take the jobs that Snakemake counts at the start: all that there are, unless the splits
        are yet to be drawn, on which most jobs depend."""
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
        """The time that is left, in words; nothing before a job of a known rule has ended."""
        if not self.known:
            return ""
        left = sum(count * self.seconds[rule] for rule, count in self.jobs.items())
        left *= self.spent / self.known
        now = time.monotonic()
        for rule, threads, began in self.running.values():
            # What a job that runs has had already, at most what is expected of it.
            expected = self.seconds.get(rule, 0.0) * self.spent / self.known
            left -= min(threads * (now - began), expected)
        minutes = max(1, round(left / self.cores / 60))
        hours, rest = divmod(minutes, 60)
        return f", about {f'{hours} h ' * bool(hours)}{rest} min left"


class LogHandler(LogHandlerBase):
    """Writes to the screen when a stage begins, how many of all jobs are done, and what failed."""

    def __post_init__(self) -> None:
        self.began = self.told = time.monotonic()
        self.stages: set[str] = set()
        self.done, self.total = 0, 0
        self.left: TimeLeft | None = None

    def emit(self, record: LogRecord) -> None:
        """Say what a record means to someone who waits."""
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
        elif record.levelno >= WARNING and event in TOLD:
            self._say(record.getMessage())

    def _time_left(self) -> TimeLeft:
        # The Snakefile, which knows what is expected, is read after this handler is made.
        if self.left is None:
            expected = json.loads(os.environ.get("SBLDM_EXPECTED", "{}"))
            self.left = TimeLeft(expected, os.cpu_count() or 1)
        return self.left

    def _begin(self, logs: list) -> None:
        # A rule's log lies in logs/<stage>/…
        parts = Path(str(logs[0]).split()[0]).parts if logs else ()
        stage = parts[parts.index("logs") + 1] if "logs" in parts[:-1] else ""
        # Stages overlap, patient by patient: each is named where it begins.
        if stage and stage not in self.stages:
            self.stages.add(stage)
            done = f", {self.done} of {self.total} jobs done" if self.total else ""
            self._say(f"{stage}{done}{self._time_left().text()}")

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if done == total:
            self._say(f"{done} of {total} jobs done")
        elif time.monotonic() - self.told >= EVERY_S:
            self._say(f"{done} of {total} jobs done{self._time_left().text()}")

    def _say(self, text: str) -> None:
        self.told = time.monotonic()
        minutes, seconds = divmod(int(self.told - self.began), 60)
        print(f"[{minutes:3d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)

    @property
    def writes_to_stream(self) -> bool:
        """It takes the place of Snakemake's own lines."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It keeps none."""
        return False

    @property
    def has_filter(self) -> bool:
        """All records reach it."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It has its own words."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It draws nothing."""
        return False
