"""Whether two modalities of a patient fit, however they are contrasted."""

import numpy as np
import pytest
import SimpleITK as sitk

from workflow_scripts.phantoms.phantom import make_phantom
from workflow_scripts.phantoms.plan import plan_phantom
from workflow_scripts.preprocess.align import LEAST_SIMILARITY, check_similarity
from workflow_scripts.preprocess.similarity import Comparison
from workflow_scripts.preprocess.volumes import to_image

STILL = sitk.Euler3DTransform()


def turned(image: sitk.Image, axis: int, degrees: float) -> sitk.Transform:
    """A rotation about the middle of an image."""
    transform, angles = sitk.Euler3DTransform(), [0.0] * 3
    middle = [(n - 1) / 2 for n in image.GetSize()]
    transform.SetCenter(image.TransformContinuousIndexToPhysicalPoint(middle))
    angles[axis] = np.deg2rad(degrees)
    transform.SetRotation(*angles)
    return transform


@pytest.fixture(scope="module")
def images(phantom) -> dict[str, sitk.Image]:
    volumes = {**phantom.images, "brain": phantom.brain}
    return {name: to_image(volume, phantom.affine) for name, volume in volumes.items()}


@pytest.fixture(scope="module")
def comparison(images) -> Comparison:
    return Comparison(images["t1ce"], images["brain"])


def test_modalities_of_one_patient_fit(comparison, images):
    """They are some millimetres apart before registration."""
    assert comparison.similarity(images["flair"], STILL) > LEAST_SIMILARITY


def test_contrast_and_intensities_do_not_matter(comparison, images):
    once = comparison.similarity(images["flair"], STILL)
    inverted = comparison.similarity(3000 - 2 * sitk.Cast(images["flair"], sitk.sitkFloat32), STILL)
    assert inverted == pytest.approx(once, rel=0.1)


@pytest.mark.parametrize("axis", range(3))
def test_a_modality_that_is_turned_does_not_fit(comparison, images, axis):
    value = comparison.similarity(images["flair"], turned(images["flair"], axis, 30))
    assert value < LEAST_SIMILARITY


def test_a_modality_of_another_patient_does_not_fit(comparison, phantom_settings):
    plan = plan_phantom("phantom-0002", 0, phantom_settings)
    other = make_phantom(plan, ["flair"], phantom_settings)
    image = to_image(other.images["flair"], other.affine)
    assert comparison.similarity(image, STILL) < LEAST_SIMILARITY


def test_without_a_brain_nothing_is_compared(images):
    speck = sitk.Image(images["brain"].GetSize(), sitk.sitkUInt8)
    speck.CopyInformation(images["brain"])
    speck[90, 90, 90] = 1
    assert Comparison(images["t1ce"], speck).similarity(images["flair"], STILL) is None


def test_what_does_not_fit_is_named():
    found = {"flair": LEAST_SIMILARITY - 0.1, "t2": LEAST_SIMILARITY + 0.1, "t1": None}
    ((what, remedy),) = check_similarity(found, "t1ce")
    assert what.startswith("flair: hardly fits t1ce") and "picture" in remedy
