"""A logger of Snakemake: a line a stage in place of one a job; all else is in Snakemake's log.

Found by Snakemake where this folder is on Python's path: ``snakemake --logger stages``.
"""

import sys
import time
from logging import WARNING, LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# A stage that takes long says so this often.
EVERY_S = 30.0
# Of Snakemake's warnings and errors those that say something about the run.
TOLD = (None, LogEvent.ERROR, LogEvent.GROUP_ERROR)


class LogHandler(LogHandlerBase):
    """Writes to the screen when a stage begins, how many of all jobs are done, and what failed."""

    def __post_init__(self) -> None:
        self.began = self.told = time.monotonic()
        self.stages: set[str] = set()
        self.done, self.total = 0, 0

    def emit(self, record: LogRecord) -> None:
        """Say what a record means to someone who waits."""
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_INFO:
            self._begin(record.__dict__.get("log") or [])
        elif event == LogEvent.PROGRESS:
            self._progress(record.done, record.total)
        elif event == LogEvent.JOB_ERROR:
            logs = ", ".join(map(str, record.__dict__.get("log") or [])) or "Snakemake's log"
            self._say(f"{record.rule_name} failed; see {logs}")
        elif record.levelno >= WARNING and event in TOLD:
            self._say(record.getMessage())

    def _begin(self, logs: list) -> None:
        # A rule's log lies in logs/<stage>/…
        parts = Path(str(logs[0]).split()[0]).parts if logs else ()
        stage = parts[parts.index("logs") + 1] if "logs" in parts[:-1] else ""
        # Stages overlap, patient by patient: each is named where it begins.
        if stage and stage not in self.stages:
            self.stages.add(stage)
            self._say(f"{stage}, {self.done} of {self.total} jobs done" if self.total else stage)

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if done == total or time.monotonic() - self.told >= EVERY_S:
            self._say(f"{done} of {total} jobs done")

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
