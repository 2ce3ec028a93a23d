"""Heads whose affine is wrong are registered right, and those that it turns far are named."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from tests.hostile.conftest import rotation
from workflow_scripts.phantoms.phantom import make_phantom
from workflow_scripts.phantoms.plan import plan_phantom
from workflow_scripts.preprocess.align import DOUBTFUL_OVERLAP, TURNED_DEG, align
from workflow_scripts.preprocess.raw_patient import RawPatient
from workflow_scripts.preprocess.settings import PreprocessSettings

pytestmark = pytest.mark.hostile
SETTINGS = PreprocessSettings(
    reference="auto", coregister="auto", skull_strip="auto", template="affine", n4=False,
    percentiles=(0.5, 99.8),
)  # fmt: skip
RIGHT_MM = 3.0
# Points of the brain in template space, in mm.
POINTS = np.array(list(itertools.product((-45, 0, 45), (-70, -20, 35), (-10, 20, 50))), float)


@pytest.fixture(scope="module")
def phantom(phantom_settings):
    return make_phantom(
        plan_phantom("phantom-0007", 0, phantom_settings), ["flair", "t1ce"], phantom_settings
    )


def raw_of(images, affines) -> RawPatient:
    """What is read of a patient's files: volumes with axes nearest to RAS+."""
    read = {
        name: nib.as_closest_canonical(nib.Nifti1Image(image.astype(np.float32), affines[name]))
        for name, image in images.items()
    }
    arrays = {name: np.asarray(image.dataobj) for name, image in read.items()}
    placed = {name: image.affine for name, image in read.items()}
    label = np.zeros(arrays["t1ce"].shape, np.uint8)
    return RawPatient(arrays, placed, label, placed["t1ce"], "t1ce", "t1ce")


def mapped(transform, points=POINTS) -> np.ndarray:
    """Points (N, 3) in mm, RAS+, after a SimpleITK transform, which counts to left and back."""
    flip = np.array([-1, -1, 1])
    return np.array([transform.TransformPoint((flip * p).tolist()) for p in points]) * flip


@pytest.fixture(scope="module")
def usual(phantom):
    """The phantom as it lies."""
    aligned = align(
        raw_of(phantom.images, dict.fromkeys(phantom.images, phantom.affine)), SETTINGS, {}
    )
    assert aligned.overlap >= DOUBTFUL_OVERLAP
    return mapped(aligned.to_reference), mapped(aligned.to_modality["flair"])


def farthest_mm(one, other) -> float:
    return float(np.linalg.norm(one - other, axis=1).max())


def check(phantom_images, affines, turn, usual, caplog) -> None:
    """The head is registered right, and named where it lies as no head lies in a scanner."""
    right = np.c_[usual[0], np.ones(len(POINTS))] @ turn[:3].T
    aligned = align(raw_of(phantom_images, affines), SETTINGS, {})
    assert farthest_mm(mapped(aligned.to_reference), right) <= RIGHT_MM
    angle = np.degrees(np.arccos(np.clip((np.trace(turn[:3, :3]) - 1) / 2, -1, 1)))
    assert ("turned by" in caplog.text) == (angle > TURNED_DEG)


@pytest.mark.parametrize("degrees", [10, 25, 40, 90, 180])
@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_turned_head_is_registered_right(phantom, usual, caplog, axis, degrees):
    turn = rotation(axis, degrees)
    check(phantom.images, dict.fromkeys(phantom.images, turn @ phantom.affine), turn, usual, caplog)


def test_a_head_that_is_turned_twice_is_registered_right(phantom, usual, caplog):
    turn = rotation("y", 10) @ rotation("x", 90)
    check(phantom.images, dict.fromkeys(phantom.images, turn @ phantom.affine), turn, usual, caplog)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0)])
def test_a_head_of_lost_orientation_is_registered_right(phantom, usual, caplog, order):
    # A mirrored head, which nothing in it can tell, is another matter.
    handed = np.linalg.det(np.eye(3)[list(order)]) * np.linalg.det(phantom.affine)
    flips = (1, 1, -1 if handed < 0 else 1)
    images = {
        m: np.ascontiguousarray(image.transpose(order)[:: flips[0], :: flips[1], :: flips[2]])
        for m, image in phantom.images.items()
    }
    shape = np.array(images["t1ce"].shape)
    spacing = np.linalg.norm(phantom.affine[:3, :3], axis=0)[list(order)]
    lost = np.diag([*spacing, 1.0])
    lost[:3, 3] = -spacing * (shape - 1) / 2
    # Voxels of the lost volume to those of the phantom's.
    back = np.zeros((4, 4))
    back[3, 3] = 1
    for new, old in enumerate(order):
        back[old, new] = flips[new]
        back[old, 3] = shape[new] - 1 if flips[new] < 0 else 0
    turn = lost @ np.linalg.inv(back) @ np.linalg.inv(phantom.affine)
    check(images, dict.fromkeys(images, lost), turn, usual, caplog)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_modality_that_is_turned_alone_is_registered_right(phantom, usual, axis):
    turn = rotation(axis, 30)
    affines = {"flair": turn @ phantom.affine, "t1ce": phantom.affine}
    aligned = align(raw_of(phantom.images, affines), SETTINGS, {})
    right = np.c_[usual[1], np.ones(len(POINTS))] @ turn[:3].T
    assert farthest_mm(mapped(aligned.to_modality["flair"]), right) <= RIGHT_MM
    assert any("flair: is turned by" in what for what, _ in aligned.warnings)
    assert not any("hardly fits" in what for what, _ in aligned.warnings)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_modality_that_stays_turned_is_named(phantom, axis):
    affines = {"flair": rotation(axis, 30) @ phantom.affine, "t1ce": phantom.affine}
    settings = SETTINGS.model_copy(update={"coregister": "never"})
    aligned = align(raw_of(phantom.images, affines), settings, {})
    assert any("flair: hardly fits t1ce" in what for what, _ in aligned.warnings)
