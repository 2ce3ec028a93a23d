"""Lines in a log: seldom, the last one always, with the time that is left."""

import logging

import pytest

from workflow_scripts.common import progress as module
from workflow_scripts.common.progress import Progress, clock


@pytest.fixture
def now(monkeypatch):
    """A clock that is set by hand."""
    time = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: time[0])
    return time


def test_a_line_comes_now_and_then_and_at_the_end(now, caplog):
    caplog.set_level(logging.INFO)
    progress = Progress(100, "patients made", every_s=10)
    for count in range(1, 101):
        now[0] += 1
        progress.done(count)
    assert caplog.messages[0] == "10 of 100 patients made, 1:30 left"
    assert caplog.messages[-1] == "100 of 100 patients made"
    assert len(caplog.messages) == 10


def test_what_an_earlier_job_did_does_not_count_for_the_pace(now, caplog):
    caplog.set_level(logging.INFO)
    progress = Progress(100, "steps", first=80, every_s=10)
    now[0] += 20
    progress.done(90, ", loss 0.5")
    assert caplog.messages == ["90 of 100 steps, loss 0.5, 0:20 left"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0:00"), (7, "0:07"), (750, "12:30"), (10_800, "3:00:00")]
)
def test_times_are_short(seconds, said):
    assert clock(seconds) == said
