"""The rivals' networks and what their trainings do."""

import pytest
import torch

from workflow_scripts.common.fit import fit
from workflow_scripts.common.randomness import generator
from workflow_scripts.rivals.catalogue import RIVALS, build_rival
from workflow_scripts.rivals.gan3d_train import Discriminator
from workflow_scripts.rivals.ldm3d_train import LDM3DTraining

MODALITIES, SHAPE = ["flair", "t1ce"], [8, 8, 8]


def planted(step=0):
    """A batch of two constant patients: bright, and not as bright, with tumour all over."""
    volumes = torch.stack([torch.full((3, *SHAPE), value) for value in (0.95, 0.8)])
    volumes[:, 2] = 1
    return (volumes,)


def build(name, values, **changes):
    torch.manual_seed(0)
    return build_rival(name, values(name, **changes), MODALITIES, "whole_tumour", SHAPE)


def train(model, folder, validation_volumes=None, make_batch=planted, seed=0, every_s=600):
    """The training, done, and its losses; a checkpoint every so many seconds."""
    validation_volumes = list(planted()[0]) if validation_volumes is None else validation_volumes
    training = model.make_training(validation_volumes, seed)
    where = {"checkpoints": folder / "checkpoints", "log": folder / "log"}
    return training, fit(training, make_batch, seed=seed, checkpoint_seconds=every_s, **where)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


@pytest.mark.parametrize("labels", ["whole_tumour", "subregions"])
@pytest.mark.parametrize("name", RIVALS)
def test_a_sample_is_a_volume_and_the_same_for_the_same_numbers(name, labels, values):
    shape = [16, 24, 32]
    model = build_rival(name, values(name), MODALITIES, labels, shape).eval()
    sample, again, other = (model.sample(generator(k)) for k in (1, 1, 2))
    assert sample.shape == (2 + {"whole_tumour": 1, "subregions": 3}[labels], *shape)
    assert sample.dtype == torch.float32 and torch.isfinite(sample).all()
    assert torch.equal(sample, again) and not torch.equal(sample, other)


def test_the_generator_s_range_is_that_of_volumes(values):
    made = build("gan3d", values)(100 * torch.randn(4, 8))
    assert made.min() >= 0 and made.max() <= 1


def test_the_discriminator_judges_patches_with_normalised_weights():
    torch.manual_seed(0)
    judge = Discriminator(3, 8, 2)
    x = torch.rand(4, 3, 32, 32, 24)
    for _ in range(20):
        judge(x)  # each pass improves the estimate of the largest singular values
    assert judge(x).shape == (4, 1, 6, 6, 4)
    for layer in judge.modules():
        if isinstance(layer, torch.nn.Conv3d):
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
            assert largest == pytest.approx(1, abs=0.05)


def test_a_step_of_the_gan_improves_both_players(values):
    training = build("gan3d", values).make_training([], 0)
    judge, maker = training.model.discriminator, training.model.generator
    losses = training.losses(planted(), 0)
    assert losses["loss"] == losses["discriminator"] + losses["generator"]
    losses["generator"].backward(retain_graph=True)
    assert all(weight.grad is not None for weight in maker.parameters())
    assert all(weight.grad is None for weight in judge.parameters())
    maker.zero_grad()
    losses["discriminator"].backward()
    assert all(weight.grad is None for weight in maker.parameters())
    # Each player alone follows its own loss downhill.
    for player, name in ((judge, "discriminator"), (maker, "generator")):
        training.zero_grad()
        before = training.losses(planted(), 0)[name]
        before.backward()
        with torch.no_grad():
            for weight in player.parameters():
                weight -= 0.02 * weight.grad / (weight.grad.norm() + 1e-8)
        assert training.losses(planted(), 0)[name] < before, name


def test_steps_of_the_autoencoder_leave_the_denoiser_and_the_other_way_round(values, tmp_path):
    model = build("ldm3d", values)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    seen = []

    def watched(step):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return planted()

    train(model, tmp_path, make_batch=watched)

    def moved(one, other, part):
        return any(not torch.equal(one[k], other[k]) for k in one if k.startswith(part))

    last = model.state_dict()
    assert moved(start, last, "autoencoder") and moved(start, last, "denoiser")
    # The first three steps are the autoencoder's; a batch is made before its step or a step ahead.
    assert not any(moved(start, state, "denoiser") for state in seen[:4])
    assert moved(start, seen[3], "autoencoder") and not moved(seen[-1], last, "autoencoder")


@pytest.mark.parametrize("name", RIVALS)
def test_the_same_seed_gives_the_same_weights_also_after_a_kill(name, values, tmp_path):
    def killed(step):
        if step == 5:
            raise KeyboardInterrupt
        return planted()

    whole, losses = train(build(name, values), tmp_path / "whole")
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(build(name, values), tmp_path / "broken", make_batch=killed, every_s=1e-6)
    resumed, same_losses = train(build(name, values), tmp_path / "broken", every_s=1e-6)
    state = whole.trained().state_dict()
    assert same(state, resumed.trained().state_dict())
    assert losses.equals(same_losses) and whole.validation() == resumed.validation()
    other, _ = train(build(name, values), tmp_path / "other", seed=1)
    assert not same(state, other.trained().state_dict())


def test_validation_patients_choose_weights_of_the_ldm_and_nothing_of_the_gan(values, tmp_path):
    """Losses of training are the same whoever is held out; of the LDM up to the first choice."""
    others = list(1 - planted()[0])
    for name in RIVALS:
        changes = {"autoencoder_steps": 5, "validations": 5} if name == "ldm3d" else {}
        found = [
            train(
                build(name, values, **changes),
                tmp_path / f"{name}-{k}",
                validation_volumes=validation_volumes,
            )
            for k, validation_volumes in enumerate((None, others))
        ]
        (one, losses), (other, other_losses) = found
        steps = 5 if changes else 6
        assert losses["loss"][:steps].equals(other_losses["loss"][:steps])
        equal = same(one.trained().state_dict(), other.trained().state_dict())
        assert equal or name == "ldm3d"
        assert bool(one.validation()) == (name == "ldm3d")
        assert not changes or one.validation() != other.validation()


class Scored(LDM3DTraining):
    """A training whose checks have scores that are given, and that notes the weights at each."""

    def __init__(self, *given, scores):
        super().__init__(*given)
        self.given, self.noted = iter(scores), []

    def validation_loss(self, of_denoiser):
        state = self.average.module.state_dict()
        self.noted.append({k: v.clone() for k, v in state.items()})
        return next(self.given)


def test_the_kept_weights_are_those_of_the_best_check(values, tmp_path):
    model = build("ldm3d", values, validations=3)
    # The second check of three is the best one of the autoencoder, the first of the denoiser.
    training = Scored(model, model.settings, [], 0, scores=[3.0, 1.0, 2.0, 1.5, 2.0, 3.0])
    fit(training, planted, seed=0, checkpoints=tmp_path / "checkpoints", log=tmp_path / "log")
    assert list(training.validation()) == [1, 2, 3, 4, 5, 6]
    best = {"autoencoder": training.noted[1], "denoiser": training.noted[3]}
    for name, value in training.trained().state_dict().items():
        if part := best.get(name.partition(".")[0]):
            assert torch.equal(value, part[name]), name


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gan3d", {"steps": 30, "lr": 3e-3, "ema_decay": 0.8}),
        ("ldm3d", {"steps": 36, "autoencoder_steps": 28, "lr": 2e-2, "ema_decay": 0.8}),
    ],
)
def test_samples_come_nearer_to_what_was_planted(name, changes, values, tmp_path):
    """Mean intensity 0.875 in the image and 1 in the mask; a third of the way is made at least."""
    model = build(name, values, **changes).eval()
    truth = planted()[0].mean((0, 2, 3, 4))

    def distance(network):
        made = torch.stack([network.sample(generator(k)) for k in range(4)])
        return (made.clamp(0, 1).mean((0, 2, 3, 4)) - truth).abs()

    before = distance(model)
    training, _ = train(model.train(), tmp_path)
    after = distance(training.trained())
    assert (after < before * 2 / 3).all()
