"""Phantom patients made straight on the grid."""

import numpy as np
import pytest

from workflow_scripts.common.grid import Grid
from workflow_scripts.phantoms.plan import plan_phantom
from workflow_scripts.preprocess.grid_phantoms import phantom_on_grid
from workflow_scripts.preprocess.make_phantoms import write_phantoms
from workflow_scripts.preprocess.settings import PreprocessSettings

MODALITIES = ["flair", "t1ce"]
GRID = Grid((64, 64, 48), (3.0, 3.0, 3.0))


@pytest.fixture(scope="module")
def given(phantom_settings, default_values):
    preprocess = PreprocessSettings.model_validate(default_values["preprocess"])
    return {"seed": 3, "modalities": MODALITIES, "grid": GRID, "phantom": phantom_settings,
            "preprocess": preprocess}  # fmt: skip


@pytest.fixture(scope="module")
def made(given):
    return phantom_on_grid("phantom-0002", **given)


def test_it_is_a_preprocessed_patient(made):
    image, label, brain = made
    assert image.shape == (2, *GRID.shape)
    assert label.shape == brain.shape == GRID.shape
    assert image.min() == 0
    assert image.max() == 1
    assert not image[:, ~brain].any()
    assert 1500 < brain.sum() * GRID.voxel_ml < 2300
    # The middle of the brain lies where registration takes it.
    middle = GRID.to_mm(np.argwhere(brain)).mean(0)
    np.testing.assert_allclose(middle, (0, -18, 5), atol=6)


def test_the_tumour_is_the_planned_one_and_is_seen(made, given, phantom_settings):
    image, label, brain = made
    planned = plan_phantom("phantom-0002", 3, phantom_settings).volume_ml
    assert np.count_nonzero(label) * GRID.voxel_ml == pytest.approx(planned, rel=0.15)
    flair = image[0]
    assert flair[label > 0].mean() > flair[brain & (label == 0)].mean() + 0.1


def test_the_same_name_and_seed_give_the_same_patients(made, given, tmp_path):
    write_phantoms(["phantom-0001", "phantom-0002"], 2, folder=tmp_path, **given)
    again = np.load(tmp_path / "phantom-0002" / "image.npy")
    np.testing.assert_array_equal(again.transpose(1, 2, 3, 0), made[0].astype(np.float16))
    assert not np.array_equal(again, np.load(tmp_path / "phantom-0001" / "image.npy"))


def test_what_a_killed_run_made_is_not_made_again(given, tmp_path):
    write_phantoms(["phantom-0001"], 1, folder=tmp_path, **given)
    first = (tmp_path / "phantom-0001" / "label.npy").stat()
    write_phantoms(["phantom-0001", "phantom-0003"], 1, folder=tmp_path, **given)
    assert (tmp_path / "phantom-0001" / "label.npy").stat().st_mtime_ns == first.st_mtime_ns
    assert (tmp_path / "phantom-0003" / "label.npy").is_file()


def test_thick_slices_blur_along_z(given, phantom_settings):
    thick = phantom_settings.model_copy(update={"slice_mm": (6.0, 6.0)})
    sharp, _, brain = phantom_on_grid("phantom-0001", **given)
    blurred, _, _ = phantom_on_grid("phantom-0001", **{**given, "phantom": thick})
    inside = brain[..., 1:] & brain[..., :-1]

    def along_z(image):
        return np.abs(np.diff(image[1], axis=2))[inside].mean()

    assert along_z(blurred) < 0.9 * along_z(sharp)


def test_a_tumour_may_have_no_core(given, phantom_settings):
    without = phantom_settings.model_copy(update={"core_share": (0.0, 0.0)})
    _, label, _ = phantom_on_grid("phantom-0001", **{**given, "phantom": without})
    assert set(np.unique(label)) == {0, 2}
