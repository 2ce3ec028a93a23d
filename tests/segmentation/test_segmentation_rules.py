"""The stage's scripts one after another on tiny patients."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

from tests.fakes import Named
from workflow_scripts.common.files import UserError
from workflow_scripts.common.fit import fit
from workflow_scripts.common.nifti import load_volume, save_nifti
from workflow_scripts.common.patients import Patient
from workflow_scripts.segmentation import (
    predict_segmentation,
    score_segmentation,
    train_segmentation,
)
from workflow_scripts.segmentation.batches import SegmentationBatches
from workflow_scripts.segmentation.segmenter import Segmenter, network_of, predict_masks
from workflow_scripts.segmentation.train import (
    SegmentationTraining,
    initial_network,
    validation_steps,
)

GRID_SETTINGS = {"shape": [32, 32, 16], "spacing_mm": [4.0, 4.0, 6.0]}


def images(folders):
    return [str(folder / "image.npy") for folder in folders]


def train(folder, patients, settings, arm="real+classical", **changes):
    """Run ``train_segmentation``; the last patient validates, the two before are synthetic."""
    synthetic = folder / "synthetic"
    for patient in patients[3:5]:
        shutil.copytree(patient, synthetic / patient.name, dirs_exist_ok=True)
    model = folder / "model"
    snakemake = SimpleNamespace(
        rule="train_segmentation",
        wildcards=Named(split="n3-s0", arm=arm),
        threads=1,
        input=Named(
            images=images(patients[:3]),
            validation=images(patients[5:]),
            synthetic=[str(synthetic)] if "synthetic" in arm else [],
        ),
        output=Named(
            weights=str(model / "weights.safetensors"),
            config=str(model / "config.json"),
            history=str(folder / "training.tsv"),
            provenance=str(folder / "provenance.json"),
        ),
        resources=Named(checkpoint_seconds=300),
        params=Named(
            settings=settings(**changes).model_dump(mode="json"),
            arm=arm,
            modalities=["flair", "t1ce"],
            labels="whole_tumour",
            grid=GRID_SETTINGS,
            seed=0,
            checkpoints=str(folder / "checkpoints"),
            tensorboard=str(folder / "tensorboard"),
            code="",
        ),
    )
    train_segmentation.main(snakemake)
    return model


def test_training_gives_the_same_bytes_again(tmp_path, patients, settings):
    first, again = (train(tmp_path / name, patients, settings) for name in "ab")
    weights = [(m / "weights.safetensors").read_bytes() for m in (first, again)]
    assert weights[0] == weights[1]
    history = pd.read_csv(tmp_path / "a" / "training.tsv", sep="\t")
    assert history["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history.dropna()["step"].tolist() == validation_steps(6, 2)


def test_arms_take_the_same_steps_from_the_same_weights(tmp_path, patients, settings):
    models = {
        arm: train(tmp_path / arm, patients, settings, arm=arm, steps=2, validations=1)
        for arm in ("real", "real+classical+synthetic")
    }
    histories = [pd.read_csv(m.parent / "training.tsv", sep="\t") for m in models.values()]
    assert histories[0]["step"].tolist() == histories[1]["step"].tolist()
    build = lambda: network_of(settings(), ["flair", "t1ce"], "whole_tumour")  # noqa: E731
    one = initial_network(build, 3)
    torch.rand(5)
    two = initial_network(build, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_training_finds_the_ellipsoids_and_is_scored(tmp_path, patients, settings, grid):
    recipe = {"steps": 60, "validations": 3, "widths": [8, 16, 16], "lr": 5e-3, "ema_decay": 0.8}
    model = train(tmp_path, patients, settings, arm="real", **recipe)
    tests = [tmp_path / "tests" / patient.name for patient in patients[3:5]]
    for source, target in zip(patients[3:5], tests, strict=True):
        shutil.copytree(source, target)
        sitk.WriteTransform(sitk.AffineTransform(3), str(target / "to_template.tfm"))
        native = {"file": "x", "shape": grid.shape, "affine": grid.affine.tolist()}
        (target / "native.json").write_text(json.dumps(native))
        save_nifti(Patient(source).label(), grid.affine, target / "drawn.nii.gz")
    output = tmp_path / "predictions"
    predict_segmentation.main(
        SimpleNamespace(
            threads=1,
            input=Named(weights=str(model / "weights.safetensors"), images=images(tests)),
            output=Named(predictions=str(output)),
        )
    )
    guess, affine = load_volume(output / "p3" / "label.nii.gz")
    native, native_affine = load_volume(output / "p3" / "label_native.nii.gz")
    assert np.allclose(affine, grid.affine) and np.allclose(native_affine, grid.affine)
    assert (native == guess).mean() > 0.999 and guess.max() == 1
    score_segmentation.main(
        SimpleNamespace(
            wildcards=Named(split="n3-s0", arm="real"),
            input=Named(
                predictions=str(output),
                images=images(tests),
                drawn=[str(test / "drawn.nii.gz") for test in tests],
            ),
            output=Named(scores=str(tmp_path / "scores.csv")),
            params=Named(
                labels="whole_tumour",
                grid=GRID_SETTINGS,
                tolerance_mm=3.0,
                readings=[{"label_scheme": "brats2023", "parts": {"label": None}}] * 2,
            ),
        )
    )
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert scores["patient_id"].tolist() == ["p3", "p4"] and set(scores["arm"]) == {"real"}
    assert scores["dice"].min() > 0.7
    assert scores["volume_error_ml"].abs().max() < 30
    # The native image has the grid's voxels here.
    for name in ("dice", "hd95_mm", "nsd"):
        assert np.allclose(scores[f"native_{name}"], scores[name], rtol=0.02, atol=0.02)
    assert np.allclose(scores["official_dice"], scores["native_dice"])
    assert (scores["lesion_tp"] == 1).all() and np.isfinite(scores["lesion_hd95_mm"]).all()


@pytest.mark.parametrize(("keep", "kept", "score"), [("best", 2.0, 0.7), ("last", 3.0, 0.1)])
def test_the_best_weights_on_validation_are_kept_or_the_last(settings, keep, kept, score):
    chosen = settings(steps=8, validations=4, keep=keep)
    scores = iter([0.2, 0.7, 0.7, 0.1])
    training = SegmentationTraining(torch.nn.Linear(1, 1), chosen, lambda _: next(scores))
    for value, step in enumerate(training.checks):
        for average in training.average.module.parameters():
            torch.nn.init.constant_(average, float(value))
        training._check(step)
    assert training.checks == [2, 4, 6, 8]
    assert training.kept_network().weight.item() == kept  # the later one of two equal checks
    assert training.kept_score() == score


def test_a_model_folder_is_all_that_inference_needs(tmp_path, patients, settings, grid):
    model = train(tmp_path / "training", patients, settings, steps=2, validations=1)
    moved = shutil.move(model, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "training")
    segmenter = Segmenter.load(moved)
    assert segmenter.predict(Patient(patients[0])).shape == grid.shape
    assert load_file(f"{moved}/weights.safetensors").keys() == segmenter.network.state_dict().keys()


def test_a_patient_of_another_grid_is_refused(tmp_path, patients, settings, grid):
    segmenter = Segmenter.load(train(tmp_path, patients, settings, steps=1, validations=1))
    other = Segmenter(segmenter.network, segmenter.settings, ["flair"], "whole_tumour", grid)
    with pytest.raises(UserError, match="this model expects"):
        other.predict(Patient(patients[0]))


def test_sliding_windows_cover_the_volume(settings):
    """A network that passes its input through gives back the whole volume, patch by patch."""

    class Through(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))
            self.sizes = set()

        def forward(self, image):
            self.sizes.add(tuple(image.shape[2:]))
            return image[:, :1] * self.weight

    image = np.random.default_rng(0).normal(size=(2, 40, 24, 20)).astype(np.float32)
    network = Through()
    masks = predict_masks(network, image, settings(patch=(16, 16, 8)))
    assert network.sizes == {(16, 16, 8)}
    assert (masks[0] == (image[0] > 0)).all()
    smaller = predict_masks(network, image[:, :8, :8, :4], settings(patch=(16, 16, 8)))
    assert (smaller[0] == (image[0, :8, :8, :4] > 0)).all()


class Dying(SegmentationTraining):
    """A training that can be killed at a step."""

    dies_at: int | None = None

    def losses(self, batch, step):
        if step == self.dies_at:
            raise KeyboardInterrupt
        return super().losses(batch, step)


def test_a_resumed_training_keeps_its_checks(tmp_path, patients, settings):
    chosen = settings(steps=6, validations=3)

    def run(folder, dies_at=None):
        build = lambda: network_of(chosen, ["flair", "t1ce"], "whole_tumour")  # noqa: E731
        # The first check is the best one: it must outlive the kill.
        training = Dying(
            initial_network(build, 0), chosen, lambda _: 1 / len(training.scores or "1")
        )
        training.dies_at = dies_at
        fit(
            training,
            SegmentationBatches("real", patients[:3], [], "whole_tumour", chosen, (3, 3, 3), 0),
            seed=0,
            checkpoints=folder / "checkpoints",
            log=folder / "log",
            checkpoint_seconds=1e-6,
        )
        return training

    whole = run(tmp_path / "whole")
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(tmp_path / "broken", dies_at=5)
    resumed = run(tmp_path / "broken")
    assert list(resumed.scores) == list(whole.scores) == [2, 4, 6]
    for name, value in whole.kept.items():
        assert torch.equal(value, resumed.kept[name]), name
