"""Training goes on after a kill as if nothing had happened."""

import pytest
import torch

from workflow_scripts.common.training import Training, fit, generator


class Line(Training):
    """A line through noisy points; it can be told to die at a step."""

    dies_at: int | None = None

    def losses(self, batch, step):
        if step == self.dies_at:
            raise KeyboardInterrupt
        x, y = batch
        noise = torch.randn(y.shape, generator=generator(step, 7)) * 0.01
        return {"loss": (self.model(x) - y + noise).square().mean()}


def points(step):
    x = torch.randn(16, 2, generator=generator(3, step))
    return x, x @ torch.tensor([[2.0], [-1.0]]) + 0.5


def train(folder, dies_at=None, steps=40):
    torch.manual_seed(1)
    module = Line(torch.nn.Linear(2, 1), steps, lr=0.05, ema_decay=0.9, weight_decay=0.0)
    module.dies_at = dies_at
    history = fit(
        module,
        points,
        seed=1,
        checkpoints=folder / "checkpoints",
        log=folder / "log",
        precision_choice="fp32",
        checkpoint_minutes=1e-6,
    )
    return module, history


def test_a_resumed_run_ends_in_the_same_weights(tmp_path):
    whole, history = train(tmp_path / "whole")
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(tmp_path / "broken", dies_at=23)
    resumed, resumed_history = train(tmp_path / "broken")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert history.equals(resumed_history)
    assert len(history) == 40


def test_training_reaches_the_answer(tmp_path):
    module, history = train(tmp_path, steps=300)
    assert torch.allclose(module.average.module.weight, torch.tensor([[2.0, -1.0]]), atol=0.02)
    assert history["loss"].iloc[-1] < 0.01 * history["loss"].iloc[0]


def test_generators_differ_by_every_seed():
    draws = {float(torch.rand(1, generator=generator(*s))) for s in ((0, 0), (0, 1), (1, 0), (1,))}
    assert len(draws) == 4
    assert torch.equal(torch.rand(3, generator=generator(5)), torch.rand(3, generator=generator(5)))
