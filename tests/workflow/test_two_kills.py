"""Two kills in the middle of training, then one plain run: the same bytes. `make test-kills` has
twenty, at random moments of all stages."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("autoencoder", "diffusion")
TARGET = "results-tiny/diffusion/n2-s0/model/weights.safetensors"
OPTIONS = (
    TARGET, "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--max-threads", "1",
    "--configfile", str(ROOT / "config" / "tiny.yaml"),
    "--set-resources", *(f"train_{stage}:checkpoint_seconds=1" for stage in STAGES),
)  # fmt: skip


def killed_when(found: str, folder: Path, whole_session: bool) -> None:
    """Start the workflow and kill it once a file is there: all of it, or Snakemake alone."""
    with open(folder / "output.txt", "a") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *OPTIONS], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    late = time.monotonic() + 300
    while not list(folder.glob(found)):
        assert run.poll() is None, (folder / "output.txt").read_text()[-3000:]
        assert time.monotonic() < late, f"{found} never came"
        time.sleep(0.02)
    (os.killpg if whole_session else os.kill)(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL


@pytest.mark.long
def test_two_kills_change_nothing(snakemake, copy_run, tiny_run, tmp_path):
    run = copy_run(tiny_run, tmp_path / "run")
    results = run / "results-tiny"
    for stage in (*STAGES, "checkpoints"):
        shutil.rmtree(results / stage, ignore_errors=True)
    killed_when("results-tiny/checkpoints/autoencoder/*/last.ckpt", run, whole_session=True)
    killed_when("results-tiny/checkpoints/diffusion/*/lock", run, whole_session=False)
    done = snakemake(run, *OPTIONS)
    assert done.returncode == 0, done.stderr[-3000:]
    files = [results / "autoencoder" / "n2-s0" / "latents.npy"]
    files += [results / stage / "n2-s0" / "model" / "weights.safetensors" for stage in STAGES]
    for file in files:
        whole = tiny_run / file.relative_to(run)
        assert file.read_bytes() == whole.read_bytes(), file
    logs = (results / "logs" / "autoencoder" / "train_autoencoder").glob("*.log*")
    assert any("resuming from step" in log.read_text() for log in logs)
