"""Training goes on after a kill as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workflow_scripts.common.callbacks import ENDS
from workflow_scripts.common.files import UserError
from workflow_scripts.common.fit import _Batches, fit
from workflow_scripts.common.randomness import generator
from workflow_scripts.common.settings import OptimiserSettings
from workflow_scripts.common.training import Training

ADAM = {
    "lr": 0.05,
    "weight_decay": 0.0,
    "warm_up": 0.05,
    "decay": "cosine",
    "clip": 1.0,
    "ema_decay": 0.9,
    "precision": "fp32",
}


def settings(**changes) -> OptimiserSettings:
    return OptimiserSettings(**{**ADAM, **changes})


class Line(Training):
    """A line through noisy points; it can be told to die at a step."""

    dies_at: int | None = None
    asked_at: int | None = None

    def losses(self, batch, step):
        if step == self.dies_at:
            raise RuntimeError("killed")
        if step == self.asked_at:
            os.kill(os.getpid(), self.signal)
        x, y = batch
        noise = torch.randn(y.shape, generator=generator(step, 7)) * 0.01
        return {"loss": (self.model(x) - y + noise).square().mean()}


def points(step):
    x = torch.randn(16, 2, generator=generator(3, step))
    return x, x @ torch.tensor([[2.0], [-1.0]]) + 0.5


@pytest.fixture(autouse=True)
def handlers():
    """What a training that was asked to stop leaves in place, since its process ends."""
    before = {number: signal.getsignal(number) for number in ENDS}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def train(folder, dies_at=None, asked_at=None, steps=40, every_s=1e-4, number=signal.SIGTERM):
    torch.manual_seed(1)
    module = Line(torch.nn.Linear(2, 1), settings(steps=steps))
    module.dies_at, module.asked_at, module.signal = dies_at, asked_at, number
    history = fit(
        module,
        points,
        seed=1,
        checkpoints=folder / "checkpoints",
        log=folder / "log",
        checkpoint_seconds=every_s,
    )
    return module, history


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ({"dies_at": 23}, RuntimeError),
        *(({"asked_at": 23, "every_s": 600, "number": number}, UserError) for number in ENDS),
    ],
)
def test_a_resumed_run_ends_in_the_same_weights(tmp_path, end, error):
    whole, history = train(tmp_path / "whole")
    with pytest.raises(error):
        train(tmp_path / "broken", **end)
    resumed, resumed_history = train(tmp_path / "broken")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert history.equals(resumed_history)
    assert len(history) == 40


@pytest.mark.parametrize("dies_at", [None, 23])
def test_training_leaves_signals_as_it_found_them(tmp_path, handlers, dies_at):
    try:
        train(tmp_path, dies_at=dies_at)
    except RuntimeError:
        assert dies_at
    assert {number: signal.getsignal(number) for number in handlers} == handlers


ASKED_TWICE = """
import os, signal, sys
from pathlib import Path
from tests.common.test_training import train
from workflow_scripts.common.files import UserError

try:
    train(Path(sys.argv[1]), asked_at=3, every_s=600)
except UserError as error:
    os.kill(os.getpid(), signal.SIGTERM)
    print(error)
"""


def test_a_second_signal_does_not_cut_the_first_ones_work_short(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ASKED_TWICE, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stopped by a signal after step 4" in done.stdout
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_training_reaches_the_answer(tmp_path):
    module, history = train(tmp_path, steps=300)
    assert torch.allclose(module.average.module.weight, torch.tensor([[2.0, -1.0]]), atol=0.02)
    assert history["loss"].iloc[-1] < 0.01 * history["loss"].iloc[0]


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    module = Line(
        torch.nn.Linear(2, 1), settings(steps=40, clip=None).model_copy(update={"lr": 1e30})
    )
    with pytest.raises(UserError, match="the loss became NaN or infinite.*smaller lr"):
        fit(module, points, seed=1, checkpoints=tmp_path / "checkpoints", log=tmp_path / "log")


def test_generators_differ_by_every_seed():
    draws = {float(torch.rand(1, generator=generator(*s))) for s in ((0, 0), (0, 1), (1, 0), (1,))}
    assert len(draws) == 4
    assert torch.equal(torch.rand(3, generator=generator(5)), torch.rand(3, generator=generator(5)))


TOGETHER = """
import json, os, sys
from pathlib import Path
import torch
from tests.common.test_training import Line, points, settings
from workflow_scripts.common.fit import fit

rank, seen = int(os.environ.get("LOCAL_RANK", 0)), []

class Watched(Line):
    def losses(self, batch, step):
        seen.append((step, batch[0].tolist()))
        return super().losses(batch, step)

torch.manual_seed(1)
module = Watched(torch.nn.Linear(2, 1), settings(steps=12))
history = fit(module, points, seed=1, checkpoints=Path("kept"), log=Path("log"),
              devices=2, accelerator="cpu")
Path(f"seen-{rank}.json").write_text(json.dumps(seen))
torch.save(module.state_dict(), f"weights-{rank}.pt")
assert history["step"].tolist() == list(range(1, 13))
"""


def test_two_processes_share_every_batch_and_learn_the_same(tmp_path):
    """DDP on the CPU: as many steps as one process makes, every sample seen once, one average."""
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    clean = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = [json.loads((tmp_path / f"seen-{rank}.json").read_text()) for rank in (0, 1)]
    for step in range(12):
        shares = [samples for one in seen for at, samples in one if at == step]
        assert sorted(shares[0] + shares[1]) == sorted(points(step)[0].tolist())
    one, other = (torch.load(tmp_path / f"weights-{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert any(name.startswith("average.module") for name in one)


def test_a_batch_that_cannot_be_shared_is_refused():
    batches = _Batches(points, 0, 3)
    with pytest.raises(UserError, match="a batch of 16 cannot be divided equally among 3 devices"):
        batches[0]
