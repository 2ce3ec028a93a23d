"""Anatomies: phantoms of nobody, one for each request; or somebody's brain, from a folder."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from workflow_scripts.common.files import UserError
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.preprocess.grid_phantoms import phantom_on_grid
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.tissue import tissue_maps
from workflow_scripts.synthesis.anatomies import NoAnatomies, RequestedAnatomies
from workflow_scripts.synthesis.anatomy_folder import read_brain

GRID = Grid((32, 32, 24), (6.0, 6.0, 6.0))


def source(**changes):
    with open("config.yaml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    fields = PhantomSettings.model_fields
    phantom = {k: v for k, v in config["cohort"]["phantom"].items() if k in fields}
    return RequestedAnatomies(
        ["flair", "t1ce"],
        GRID,
        PhantomSettings.model_validate(phantom | changes),
        PreprocessSettings.model_validate(config["preprocess"]),
    )


def requests(*seeds, volume_ml=30.0):
    place = {"centroid_x_mm": 30.0, "centroid_y_mm": -20.0, "centroid_z_mm": 20.0}
    tumour = {"volume_ml": volume_ml, **place, "anatomy": "phantom"}
    return pd.DataFrame([{"seed": seed, **tumour} for seed in seeds])


@pytest.fixture(scope="module")
def three():
    return source().tissue(requests(1, 2, 3))


def test_each_seed_has_a_brain_of_its_own(three):
    assert three.shape == (3, 3, *GRID.shape)
    assert three.dtype == np.uint8
    inside = three.sum(1) > 0
    assert (three.sum(1)[inside] > 250).all()
    for one, other in ((0, 1), (1, 2)):
        white = three[[one, other], 1].reshape(2, -1).astype(float)
        assert 0.5 < np.corrcoef(white)[0, 1] < 0.95


def test_an_anatomy_does_not_depend_on_its_company(three):
    np.testing.assert_array_equal(source().tissue(requests(2))[0], three[1])


def test_an_anatomy_has_tissues_as_the_training_patients_have_them(three):
    quantiles = np.sort(np.random.default_rng(0).uniform(0.2, 0.5, (3, 65)), axis=1)
    told = replace(source(), quantiles=quantiles).tissue(requests(2))[0] / 255
    inside = told.any(0)
    assert (inside == three[1].any(0)).all()
    np.testing.assert_allclose(told.sum(0)[inside], 1, atol=0.01)
    assert told[:, inside].max() < 0.75 < three[1].max() / 255


def test_the_brain_makes_room_for_the_requested_tumour():
    """A large mass changes the anatomy around it, and hardly anything far away."""
    pushed = source(mass_effect=0.35)
    small, large = (
        pushed.tissue(requests(1, volume_ml=ml))[0].astype(float) for ml in (0.01, 100.0)
    )
    changed = np.abs(small - large).sum(0)
    mm = GRID.to_mm(np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), -1))
    away = np.linalg.norm(mm - [30, -20, 20], axis=-1)
    brain = small.sum(0) > 0
    assert changed[brain & (away < 40)].mean() > 3 * changed[brain & (away > 80)].mean()


def test_a_denoiser_that_is_told_nothing_has_no_anatomy():
    assert NoAnatomies().tissue(requests(1, 2)).shape == (2, 0)
    assert NoAnatomies().brain_of("phantom") is None
    with pytest.raises(UserError, match="takes no anatomy"):
        NoAnatomies().brain_of("/brains/1")


MODALITIES = ["flair", "t1ce"]


@pytest.fixture(scope="module")
def patient():
    """Images (2, X, Y, Z), label and brain of a phantom patient with a tumour."""
    made = source()
    settings = made.phantom, made.preprocess
    return phantom_on_grid("phantom-0001", 3, MODALITIES, GRID, *settings)


def written(folder, patient, names="{}.nii.gz", label=True, affine=GRID.affine):
    folder.mkdir()
    image, mask, _ = patient
    for volume, modality in zip(image, MODALITIES, strict=True):
        save_nifti(volume, affine, folder / names.format(modality))
    if label:
        save_nifti(mask, affine, folder / names.format("label" if names[0] == "{" else "seg"))
    return folder


@pytest.mark.parametrize("names", ["{}.nii.gz", "case_{}.nii.gz"])
def test_a_folder_s_anatomy_is_that_of_its_images_without_the_tumour(patient, tmp_path, names):
    image, label, brain = patient
    if names[0] == "c":  # the scheme of BraTS 2017 calls enhancing tumour 4
        patient = image, np.where(label == 3, 4, label).astype(np.uint8), brain
    folder = written(tmp_path / "brain", patient, names)
    found = read_brain(folder, MODALITIES, GRID, source().preprocess).tissue
    wanted = tissue_maps(image, brain, label, GRID)
    both = brain & (found.sum(0) > 0)
    assert both.sum() > 0.97 * brain.sum()
    assert (
        min(np.corrcoef(a[both], b[both])[0, 1] for a, b in zip(found, wanted, strict=True)) > 0.98
    )


def test_a_request_that_names_a_folder_gets_its_anatomy(patient, tmp_path):
    folder = written(tmp_path / "brain", patient)
    both = pd.concat([requests(1).assign(anatomy=str(folder)), requests(2)], ignore_index=True)
    found = source().tissue(both)
    read = read_brain(folder, MODALITIES, GRID, source().preprocess).tissue
    np.testing.assert_array_equal(found[0], (read * 255).round())
    np.testing.assert_array_equal(found[1], source().tissue(requests(2))[0])


def test_a_brain_elsewhere_is_registered(patient, tmp_path):
    shifted = GRID.affine.copy()
    shifted[:3, 3] += [14, -10, 12]
    folder = written(tmp_path / "brain", patient, affine=shifted)
    found = read_brain(folder, MODALITIES, GRID, source().preprocess).tissue
    image, label, brain = patient
    wanted = tissue_maps(image, brain, label, GRID)
    assert np.corrcoef(found[1].ravel(), wanted[1].ravel())[0, 1] > 0.8
    unmoved = np.roll(wanted[1], (2, -2, 2), (0, 1, 2))
    assert np.corrcoef(unmoved.ravel(), wanted[1].ravel())[0, 1] < 0.7


def test_a_folder_that_cannot_be_used_is_named(patient, tmp_path):
    settings = source().preprocess
    with pytest.raises(UserError, match="has no flair"):
        read_brain(tmp_path / "nowhere", MODALITIES, GRID, settings)
    folder = written(tmp_path / "brain", patient)
    save_nifti(patient[0][0], GRID.affine, folder / "case_flair.nii.gz")
    with pytest.raises(UserError, match="has flair twice"):
        read_brain(folder, MODALITIES, GRID, settings)
    (folder / "case_flair.nii.gz").unlink()
    save_nifti(np.zeros(GRID.shape, np.float32), GRID.affine, folder / "t1ce.nii.gz")
    with pytest.raises(UserError, match="t1ce.nii.gz is constant"):
        read_brain(folder, MODALITIES, GRID, settings)
