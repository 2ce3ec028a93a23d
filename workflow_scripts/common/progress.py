"""Progress of a long step and the remaining time, as lines in the log."""

import logging
import time

# Shortest interval between lines.
EVERY_S = 15.0


class Progress:
    """Counts how many of ``total`` are done, and logs it at the end and at most every ``every_s``
    seconds; ``first`` were done by an earlier job that was killed."""

    def __init__(self, total: int, what: str, first: int = 0, every_s: float = EVERY_S) -> None:
        self.total, self.what, self.first, self.every = total, what, first, every_s
        self.began = self.last_report = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether a line is due."""
        return time.monotonic() - self.last_report >= self.every

    def done(self, count: int, more: str = "") -> None:
        """Log that ``count`` are done if a line is due or all are done; ``more`` ends the line."""
        if not (self.due or count == self.total):
            return
        self.last_report = time.monotonic()
        text = f"{count} of {self.total} {self.what}{more}"
        if self.first < count < self.total:
            each = (self.last_report - self.began) / (count - self.first)
            text += f", {clock(each * (self.total - count))} left"
        logging.getLogger(__name__).info(text)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 0:07, 12:30, 3:00:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
