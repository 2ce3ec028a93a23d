"""Patients as volumes, and back."""

import numpy as np
import pytest
import torch

from workflow_scripts.autoencoder.encode_patients import unchanged
from workflow_scripts.autoencoder.settings import WarpSettings
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import collapse, nested_masks
from workflow_scripts.common.masks import dice
from workflow_scripts.common.patients import Patient
from workflow_scripts.rivals import rival_volumes as volumes
from workflow_scripts.rivals.rival_volumes import MASKS, VolumeBatches, from_volume, read_volume

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))


@pytest.fixture
def batches(whole_patients, default_values):
    def make(labels="whole_tumour", seed=0):
        warp = WarpSettings.model_validate(default_values["autoencoder"]["warp"])
        return VolumeBatches(whole_patients[:3], labels, 2, GRID, warp, seed)

    return make


@pytest.mark.parametrize("labels", MASKS)
def test_a_patient_is_read_back_from_its_volume(whole_patients, labels):
    patient = Patient(whole_patients[0])
    volume = read_volume(patient.folder, labels)
    assert volume.shape == (2 + MASKS[labels], *GRID.shape)
    assert volume.dtype == torch.float32 and volume.min() >= 0 and volume.max() <= 1
    image, label, inside = from_volume(volume, labels)
    assert np.array_equal(image, patient.image() * inside)
    truth = collapse(patient.label(), labels) * inside
    for value in np.unique(truth):
        assert dice(collapse(label, labels) == value, truth == value) > 0.85, value


@pytest.mark.parametrize("labels", MASKS)
def test_labels_are_canonical_and_regions_nested_whatever_a_network_gives(labels):
    volume = torch.rand(2 + MASKS[labels], 16, 16, 16, generator=torch.Generator().manual_seed(0))
    volume[0] = 0.5
    raised = volume[2:] > 0.5
    _, label, inside = from_volume(3 * volume - 1, labels)
    assert inside.all()
    known = {0, 2} if labels == "whole_tumour" else {0, 1, 2, 3}
    assert set(np.unique(label)) == known
    for k, region in enumerate(nested_masks(label)[: MASKS[labels]]):
        assert np.array_equal(region, raised[: k + 1].all(0).numpy())


def test_without_a_brain_there_is_no_tumour():
    volume = torch.zeros(3, 16, 16, 16)
    volume[2] = 1
    image, label, inside = from_volume(volume, "whole_tumour")
    assert not image.any() and not label.any() and not inside.any()


def test_batches_are_warped_training_patients_and_the_same_for_the_same_step(
    batches, whole_patients
):
    (first,), (again,), (other,) = batches()(3), batches()(3), batches()(4)
    assert first.shape == (2, 3, *GRID.shape)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, batches(seed=1)(3)[0])
    unwarped = [read_volume(folder, "whole_tumour") for folder in whole_patients]
    assert not any(torch.equal(sample, volume) for sample in first for volume in unwarped)
    assert (first[:, 2] > 0.5).flatten(1).any(1).all()


def test_each_training_patient_comes_equally_often(batches, monkeypatch):
    made, seen = batches(), []

    def note(patient, grid):
        seen.append(patient.patient_id)
        return unchanged(patient, grid)

    monkeypatch.setattr(volumes, "unchanged", note)
    for step in range(3):
        made(step)
    assert sorted(seen) == sorted(["ball-0", "ball-1", "ball-2"] * 2)
