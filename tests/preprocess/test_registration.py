"""How a registration to the template is judged, and from where it starts."""

import logging

import numpy as np
import pytest
import SimpleITK as sitk

from workflow_scripts.common.files import UserError
from workflow_scripts.preprocess.align import check_modalities, check_overlap
from workflow_scripts.preprocess.registration import (
    _better_turned,
    _distinct,
    _right_angles,
    _Start,
    _turned,
    agreement,
    turned_deg,
)


def ball(radius=30, centre=(40, 40, 40), shape=(80, 80, 80)) -> sitk.Image:
    distance = np.linalg.norm(np.stack(np.indices(shape), -1) - centre, axis=-1)
    return sitk.GetImageFromArray((distance < radius).astype(np.uint8))


def shift(mm) -> sitk.Transform:
    transform = sitk.AffineTransform(3)
    transform.SetTranslation((float(mm), 0.0, 0.0))
    return transform


def scale(factor) -> sitk.Transform:
    transform = sitk.AffineTransform(3)
    transform.SetCenter((40.0, 40.0, 40.0))
    transform.SetMatrix((np.eye(3) * factor).ravel().tolist())
    return transform


def test_there_are_24_orientations_none_of_them_mirrored():
    matrices = _right_angles()
    assert len({m.tobytes() for m in matrices}) == 24
    for matrix in matrices:
        assert np.linalg.det(matrix) == pytest.approx(1)
        assert np.abs(matrix).sum() == 3


def test_overlap_is_1_where_brains_lie_on_each_other_and_falls_as_they_part():
    values = [agreement(ball(), ball(), shift(mm))[0] for mm in (0, 5, 20, 70)]
    assert values[0] == pytest.approx(1, abs=0.02)
    assert values == sorted(values, reverse=True)
    # Two balls of radius r at a distance d share 1 - 3d / 4r + d^3 / 16r^3.
    assert values[2] == pytest.approx(1 - 0.5 + 20**3 / (16 * 30**3), abs=0.05)
    assert values[3] == 0


def test_a_small_or_cut_brain_that_lies_right_overlaps():
    padded = sitk.GetArrayFromImage(ball())
    padded[50:] = 0
    for brain in (ball(26), sitk.GetImageFromArray(padded), ball()[:, :, :50]):
        assert agreement(ball(), brain, shift(0))[0] > 0.97


def test_a_brain_of_half_or_twice_the_size_does_not_overlap():
    assert agreement(ball(), ball(), scale(0.6))[0] < 0.6
    assert agreement(ball(), ball(18), shift(0))[0] < 0.6
    assert agreement(ball(18), ball(), shift(0))[0] < 0.6
    nothing = sitk.GetImageFromArray(np.zeros((80, 80, 80), np.uint8))
    assert agreement(ball(), nothing, shift(0)) == (0, 0)


def test_dice_counts_what_only_one_of_the_brains_covers():
    # Balls of radii r < R in each other: 2 r^3 / (r^3 + R^3).
    assert agreement(ball(), ball(26), shift(0))[1] == pytest.approx(
        2 * 26**3 / (26**3 + 30**3), abs=0.02
    )
    assert agreement(ball(), ball(), shift(0))[1] == pytest.approx(1, abs=0.02)


def test_angles_are_those_of_the_rotation_whatever_the_scale():
    for degrees in (0, 15, 90, 180):
        transform = sitk.AffineTransform(3)
        matrix = _turned("y", [degrees])[0] @ np.diag([1.2, 0.9, 0.8])
        transform.SetMatrix(matrix.ravel().tolist())
        assert turned_deg(transform) == pytest.approx(degrees, abs=3)


@pytest.mark.parametrize(
    ("agreement", "turned", "words"),
    [
        (0.97, 5, None),
        (0.85, 5, "overlap by 0.85 only"),
        (0.97, 90, "turned by 90 degrees"),
        (None, 5, "cannot be checked"),
    ],
)
def test_a_doubtful_registration_is_named(caplog, agreement, turned, words):
    with caplog.at_level(logging.WARNING):
        warnings = check_overlap(agreement, turned, "t1ce")
    assert not caplog.text if words is None else words in caplog.text
    assert bool(warnings) == bool(words)
    assert all(words in what for what, _ in warnings)


@pytest.mark.parametrize(("degrees", "named"), [(0, False), (15, False), (30, True), (180, True)])
def test_a_modality_that_is_turned_far_is_named(caplog, degrees, named):
    turned = sitk.Euler3DTransform()
    turned.SetRotation(0, np.deg2rad(degrees), 0)
    warnings = check_modalities({"t1ce": sitk.Euler3DTransform(), "flair": turned}, "t1ce")
    right = f"flair: is turned by {degrees} degrees relative to t1ce"
    assert [what for what, _ in warnings] == ([right] if named else [])
    assert (right in caplog.text) == named


def test_a_failed_registration_is_refused():
    with pytest.raises(UserError, match="t1ce: registration to the template failed: .* 0.79"):
        check_overlap(0.79, 5, "t1ce")


def test_starts_that_agree_everywhere_are_followed_once():
    def start(value, degrees, mm=0.0):
        turn = sitk.AffineTransform(3)
        turn.SetMatrix(_turned("x", [degrees])[0].ravel().tolist())
        turned_back = sitk.Euler3DTransform()
        turned_back.SetRotation(float(np.deg2rad(-degrees)), 0, 0)
        turned_back.SetTranslation((0, 0, mm))
        return _Start(value, turn, turned_back)

    # The same place from two sides, 2 mm beside it, 10 mm beside it, and a turned head.
    turned = sitk.Euler3DTransform()
    turned.SetRotation(0.2, 0, 0)
    elsewhere = _Start(-0.2, sitk.AffineTransform(3), turned)
    starts = [start(-0.5, 0), start(-0.4, 15), start(-0.4, -15, 2), start(-0.3, 30, 10), elsewhere]
    values = [one.value for one in _distinct(starts, ball())]
    assert values == [-0.5, -0.3, -0.2]


def test_a_turned_start_is_taken_only_where_it_is_much_better():
    x, y, z = np.indices((80, 80, 80)) - 40
    array = ((x / 20) ** 2 + (y / 34) ** 2 + (z / 28) ** 2 < 1) * 1.0
    array += ((x - 6) ** 2 + (y - 18) ** 2 + (z / 2) ** 2 < 80) * 2.0
    image = sitk.GetImageFromArray(array.T.astype(np.float32))
    start = sitk.Euler3DTransform()
    start.SetCenter((40.0, 40.0, 40.0))
    assert _better_turned(image, image, start) is None
    turn = sitk.Euler3DTransform(start)
    turn.SetRotation(0, 0, np.deg2rad(25))
    moved = sitk.Resample(image, turn.GetInverse())
    found = _better_turned(image, moved, start)
    np.testing.assert_allclose(np.rad2deg(found.GetParameters()[:3]), (0, 0, 25), atol=1e-6)
