"""Rigid and affine registration by mutual information, the same result each time."""

import contextlib
import itertools
import logging
from collections.abc import Iterable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError

SEED = 1
ASTRAY = "the search left the image; check its orientation, and that it is a head"
PITCHES = (-30, -15, 0, 15, 30)  # degrees
# Angles (degrees) about each axis at which two modalities of one head may lie, other than the
# scanner says.
TURNS = (-25, 0, 25)
# Degrees about the other axes, which are tried where the brains overlap less than by:
TILTS = (-30, -15, 15, 30)
GOOD_OVERLAP = 0.93
# Share of the unturned start's mutual information by which a turned start has to be better.
MARGIN = 0.1


def _method(bins: int, share: float) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(bins)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(share, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2.0, 1.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerScalesFromPhysicalShift()
    # Several threads add up the metric in another order each time.
    method.SetNumberOfThreads(1)
    return method


def _middle(image: sitk.Image) -> list[float]:
    return list(
        image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    )


def _isotropic(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Resample to cubic voxels: shrinking thick slices by voxels would lose them."""
    size = [
        max(8, int(np.ceil(n * s / spacing_mm)))
        for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)
    ]
    return sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(),
        [spacing_mm] * 3, image.GetDirection(), float(_low(image)), sitk.sitkFloat32,
    )  # fmt: skip


def _low(image: sitk.Image) -> float:
    return float(np.percentile(sitk.GetArrayViewFromImage(image)[::4, ::4, ::4], 1))


def register_rigid(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """The rigid transform that takes points (mm) of ``fixed`` to points of ``moving``.

    Mattes mutual information (Mattes et al. 2003) over two resolutions. The search starts where
    the scanner says; only heads of which the scanner's frames miss each other are centred first.
    """
    fixed, moving = _isotropic(fixed, 1.5), _isotropic(moving, 1.5)
    start = sitk.Euler3DTransform()
    start.SetCenter(_middle(fixed))
    apart = np.linalg.norm(np.subtract(_middle(fixed), _middle(moving)))
    if apart > 60:
        start = sitk.Euler3DTransform(
            sitk.CenteredTransformInitializer(
                fixed, moving, start, sitk.CenteredTransformInitializerFilter.GEOMETRY
            )
        )
    starts = [start]
    turned = _better_turned(fixed, moving, start)
    if turned is not None:
        starts.append(turned)
        logging.info("a modality is turned against the reference; its search starts there too")
    found = []
    for one in starts:
        try:
            found.append(_rigid_search(fixed, moving, one))
        except RuntimeError:  # the search left the image
            continue
    if not found:
        raise UserError(f"a modality could not be registered to the reference: {ASTRAY}")
    return min(found, key=lambda pair: pair[0])[1]


def _rigid_search(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform
) -> tuple[float, sitk.Transform]:
    """The metric's value, the lower the better, and the rigid transform found from a start."""
    method = _method(40, 0.2)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-3, numberOfIterations=120, relaxationFactor=0.6
    )
    method.SetInitialTransform(start, inPlace=False)
    transform = sitk.Euler3DTransform(_inner(method.Execute(fixed, moving)))
    return method.GetMetricValue(), transform


def _better_turned(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Euler3DTransform
) -> sitk.Transform | None:
    """The start turned by ``TURNS`` about each axis, of all combinations the best by mutual
    information (smoothed by 3 mm, voxels of 6 mm); ``None`` unless it is better by ``MARGIN``."""
    small = [sitk.Shrink(sitk.SmoothingRecursiveGaussian(i, 3.0), [4] * 3) for i in (fixed, moving)]
    # Samples beyond the moving image do not count: without a border, angles that lose some of the
    # background would seem to agree better.
    border = [n // 2 for n in small[1].GetSize()]
    small[1] = sitk.ConstantPad(small[1], border, border, _low(moving))
    method = _method(32, 1.0)
    method.SetMetricSamplingStrategy(method.NONE)
    values = {}
    for angles in itertools.product(TURNS, repeat=3):
        turned = sitk.Euler3DTransform(start)
        turned.SetRotation(*map(float, np.deg2rad(angles)))
        method.SetInitialTransform(turned)
        values[angles] = method.MetricEvaluate(*small), turned
    usual = values[0, 0, 0][0]
    best, turned = min(values.values(), key=lambda pair: pair[0])
    return turned if best < usual - MARGIN * abs(usual) else None


def register_to_template(
    template: sitk.Image, template_mask: sitk.Image, image: sitk.Image, mask: sitk.Image, kind: str
) -> tuple[sitk.Transform, float | None]:
    """The ``affine`` or ``rigid`` transform from template points (mm) to the image's points, and
    the ``overlap`` of the brains under it; ``None`` where the mask is the whole image, no brain.

    ``image`` is skull-stripped by ``mask``. The search starts from the masks' centres of mass
    and from several pitches of the head, of which the best goes on. Where the brains then overlap
    less than by ``GOOD_OVERLAP``, it starts again from the 24 right-angle orientations, and from
    ``TILTS`` about the other axes; that result is taken if both the images and the brains agree
    better.
    """
    rigid = sitk.Euler3DTransform(
        sitk.CenteredTransformInitializer(
            sitk.Cast(template_mask, sitk.sitkFloat32),
            sitk.Cast(mask, sitk.sitkFloat32),
            sitk.Euler3DTransform(),
            sitk.CenteredTransformInitializerFilter.MOMENTS,
        )
    )
    # Moments may turn a nearly round brain by any angle: scanners know better.
    rigid.SetRotation(0, 0, 0)
    fixed, moving = _isotropic(template, 2.0), _isotropic(image, 2.0)
    around = sitk.BinaryDilate(sitk.Shrink(template_mask, [2, 2, 2]), [2, 2, 2])

    def from_starts(
        starts: Iterable[NDArray], transform: sitk.Transform
    ) -> tuple[float, float, sitk.Transform]:
        """The metric's value, the overlap and the transform from the best of the starts."""
        start = _best_start(fixed, moving, around, transform, starts)
        value, found = _search(fixed, moving, around, start)
        found = type(transform)(found)
        if kind == "affine":
            affine = sitk.AffineTransform(3)
            affine.SetMatrix(found.GetMatrix())
            affine.SetTranslation(found.GetTranslation())
            affine.SetCenter(found.GetCenter())
            value, found = _search(fixed, moving, around, affine)
            found = sitk.AffineTransform(found)
        return value, overlap(template_mask, mask, found), found

    try:
        value, agreement, found = from_starts(_turned("x", PITCHES), rigid)
    except RuntimeError:  # no start stayed in the image
        value, agreement, found = np.inf, 0.0, None
    if found is not None and sitk.GetArrayViewFromImage(mask).all():
        return found, None
    if agreement < GOOD_OVERLAP:
        # Euler angles are singular at 90 degrees.
        versor = sitk.VersorRigid3DTransform()
        versor.SetCenter(rigid.GetCenter())
        versor.SetTranslation(rigid.GetTranslation())
        starts = [*_right_angles(), *_turned("y", TILTS), *_turned("z", TILTS)]
        with contextlib.suppress(RuntimeError):
            other_value, other_agreement, other = from_starts(starts, versor)
            if other_value < value and other_agreement > agreement:
                return other, other_agreement
    if found is None:
        raise UserError(f"the image could not be registered to the template: {ASTRAY}")
    return found, agreement


def overlap(template_mask: sitk.Image, mask: sitk.Image, transform: sitk.Transform) -> float:
    """Overlap coefficient (0 to 1) of the template's brain and an image's, under a transform from
    template points to the image's.

    It is the volume of both over that of the smaller one, or over half of the larger one's if that
    is more, counted where the image has voxels: a small brain that was registered rigidly, and one
    that is cut by its field of view, are not penalised.
    """
    small = sitk.Shrink(sitk.Cast(template_mask > 0, sitk.sitkUInt8), [2, 2, 2])
    nearest = (small, transform, sitk.sitkNearestNeighbor)
    brain = sitk.GetArrayFromImage(sitk.Resample(mask > 0, *nearest, 0)) > 0
    seen = sitk.GetArrayFromImage(sitk.Resample(mask * 0 + 1, *nearest, 0)) > 0
    known = (sitk.GetArrayFromImage(small) > 0) & seen
    # All of the image's brain counts, also what lies beyond the template's volume.
    voxel_mm3 = np.prod(small.GetSpacing())
    own = (sitk.GetArrayViewFromImage(mask) > 0).sum() * np.prod(mask.GetSpacing())
    own /= _stretch(transform) * voxel_mm3
    smaller, larger = sorted((float(known.sum()), float(own)))
    return float((known & brain).sum() / max(smaller, larger / 2)) if smaller else 0.0


def _stretch(transform: sitk.Transform) -> float:
    """By how much a rigid or affine transform enlarges volumes."""
    return abs(np.linalg.det(np.reshape(transform.GetMatrix(), (3, 3))))


def turned_deg(transform: sitk.Transform) -> float:
    """Angle in degrees of the rotation in a rigid or affine transform."""
    left, _, right = np.linalg.svd(np.reshape(transform.GetMatrix(), (3, 3)))
    return float(np.degrees(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1))))


def _turned(axis: str, degrees: Iterable[float]) -> list[NDArray[np.float64]]:
    """Rotations (3 × 3) by angles in degrees about an axis of physical space (x to the left, y to
    the back, z to the head)."""
    a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    rotations = []
    for angle in np.deg2rad(list(degrees)):
        matrix = np.eye(3)
        matrix[a, a] = matrix[b, b] = np.cos(angle)
        matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
        rotations.append(matrix)
    return rotations


def _right_angles() -> list[NDArray[np.float64]]:
    """The 24 rotations (3 × 3) that take axes to axes: orientations that a file may have lost."""
    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0:
                rotations.append(matrix)
    return rotations


def _best_start(
    fixed: sitk.Image,
    moving: sitk.Image,
    mask: sitk.Image,
    start: sitk.Transform,
    rotations: Iterable[NDArray],
) -> sitk.Transform:
    """A coarse rigid search from each rotation (3 × 3) of the head: one that nods by more than some
    15 degrees otherwise ends in a wrong optimum, centimetres away."""
    found = []
    for rotation in rotations:
        turned = type(start)(start)
        turned.SetMatrix(rotation.ravel().tolist(), 1e-6)
        method = _method(32, 0.5)
        method.SetMetricFixedMask(mask)
        method.SetShrinkFactorsPerLevel([4])
        method.SetSmoothingSigmasPerLevel([3.0])
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=2.0, minStep=1e-2, numberOfIterations=60, relaxationFactor=0.6
        )
        method.SetInitialTransform(turned, inPlace=False)
        try:
            transform = _inner(method.Execute(fixed, moving))
        except RuntimeError:  # the search left the image
            continue
        found.append((method.GetMetricValue(), transform))
    if not found:
        raise RuntimeError("no start stayed in the image")
    return min(found, key=lambda pair: pair[0])[1]


def _search(
    fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image, start: sitk.Transform
) -> tuple[float, sitk.Transform]:
    """The metric's value, the lower the better, and the transform found from a start."""
    method = _method(32, 0.1)
    method.SetMetricFixedMask(mask)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=2e-3, numberOfIterations=100, relaxationFactor=0.6
    )
    method.SetInitialTransform(start, inPlace=False)
    found = _inner(method.Execute(fixed, moving))
    return method.GetMetricValue(), found


def _inner(transform: sitk.Transform) -> sitk.Transform:
    """The one transform inside the composite that SimpleITK returns."""
    composite = sitk.CompositeTransform(transform)
    return composite.GetNthTransform(composite.GetNumberOfTransforms() - 1)
