"""What one test does to its process does not reach the next: these two run in this order."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.common.test_training import Line, points, settings
from workflow_scripts.common.fit import fit

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"


class Interrupted(Line):
    """A training in which Ctrl-C is pressed, which Lightning answers by ignoring it for good."""

    def losses(self, batch, step):
        raise KeyboardInterrupt


def test_one_test_changes_what_it_can(tmp_path):
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        module = Interrupted(torch.nn.Linear(2, 1), settings(steps=3))
        fit(module, points, seed=1, checkpoints=tmp_path / "kept", log=tmp_path / "log")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1 + torch.get_num_threads())
    os.environ["SNAKEMAKE_PROFILE"] = "nowhere"
    os.chdir(tmp_path)


def test_the_next_test_finds_none_of_it():
    assert "SNAKEMAKE_PROFILE" not in os.environ
    assert os.path.isfile("pyproject.toml")
    first = random.random()
    random.seed(0)
    assert first == random.random()
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        assert time.monotonic() - begin < 30
    assert process.returncode != 0
