"""Twenty kills at random moments, then one plain run: the same results as without.

It takes some ten minutes; `make test-kills` runs it.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.kills
KILLS = 20
INTERVAL_S = 3
# A checkpoint takes a moment to write, and a training to make its first step.
MARGIN_S = 5
STAGES = ("preprocess", "autoencoder", "diffusion", "synthesis", "segmentation", "evaluation")
COMMAND = [
    sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2",
    "--configfile", str(ROOT / "config" / "tiny.yaml"),
    # Trainings long enough to be met by a kill.
    "--config", "autoencoder={steps: 600}", "diffusion={steps: 300}", "segmentation={steps: 60}",
    "--set-resources",
    *(f"train_{stage}:checkpoint_seconds={INTERVAL_S}"
      for stage in ("autoencoder", "diffusion", "segmentation")),
]  # fmt: skip


def heed_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder: Path) -> subprocess.Popen:
    with open(folder / "output.txt", "a") as output:
        return subprocess.Popen(
            COMMAND, cwd=folder, stdout=output, stderr=output, start_new_session=True,
            preexec_fn=heed_ctrl_c,
        )  # fmt: skip


def checksums(results: Path) -> dict[str, str]:
    """Of all results but what tells of the machine and the time."""
    aside = {"logs", "benchmarks", "tensorboard", "provenance", "checkpoints"}
    files = (file for file in sorted(results.rglob("*")) if file.is_file())
    return {
        str(file.relative_to(results)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if not aside & set(file.relative_to(results).parts) and file.name[0] != "."
    }


def scripts(session: int) -> list[int]:
    """Processes of jobs that run in a session."""
    found = subprocess.run(
        ["pgrep", "--session", str(session), "--full", "/scripts/"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [int(line) for line in found.stdout.split()]


def power_fails(run: subprocess.Popen) -> None:
    """Everything is gone at once."""
    os.killpg(run.pid, signal.SIGKILL)


def memory_is_short(run: subprocess.Popen) -> None:
    """A job alone is killed, where one runs; the user sees it, and stops the rest."""
    if jobs := scripts(run.pid):
        os.kill(jobs[-1], signal.SIGKILL)
        time.sleep(2)
        user_presses_ctrl_c(run)
    else:
        power_fails(run)


def snakemake_is_killed(run: subprocess.Popen) -> None:
    """Snakemake alone is killed; its jobs work on beside those of the next run."""
    os.kill(run.pid, signal.SIGKILL)


def user_presses_ctrl_c(run: subprocess.Popen) -> None:
    """The terminal interrupts everything that it started."""
    os.killpg(run.pid, signal.SIGINT)


WAYS = (power_fails, memory_is_short, power_fails, snakemake_is_killed, user_presses_ctrl_c)


def seconds_lost(results: Path) -> float:
    """Time since the last checkpoint of any training that has not ended, or since its start."""
    lost = [0.0]
    for folder in (results / "checkpoints").glob("*/*"):
        if not (folder / "done").exists():
            signs = [f for f in folder.iterdir() if f.name in ("lock", "last.ckpt", "batches")]
            lost.append(time.time() - max(f.stat().st_mtime for f in signs))
    return min(lost[1:], default=0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder).wait() == 0, (folder / "output.txt").read_text()[-3000:]
    return folder / "results-tiny"


def test_twenty_kills_change_nothing(whole, tmp_path):
    rng, results, kills = random.Random(0), tmp_path / "results-tiny", 0
    while kills < KILLS:
        run = start(tmp_path)
        try:
            run.wait(timeout=rng.uniform(5, 18))
        except subprocess.TimeoutExpired:
            WAYS[kills % len(WAYS)](run)
            run.wait()
            kills += 1
            assert seconds_lost(results) <= INTERVAL_S + MARGIN_S
        else:
            # All done before the last kill: from some stage on, everything is made again.
            assert run.returncode == 0, (tmp_path / "output.txt").read_text()[-6000:]
            for stage in STAGES[rng.randrange(4) :]:
                shutil.rmtree(results / stage)
    assert start(tmp_path).wait() == 0, (tmp_path / "output.txt").read_text()[-3000:]
    wanted, found = checksums(whole), checksums(results)
    assert len(wanted) > 100
    differing = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    assert not differing
    said = [f.read_text() for f in (results / "logs").glob("*/train_*/**/*.log.*")]
    assert any("resuming from step" in text for text in said)
    assert not list((results / "checkpoints").glob("*/*"))
