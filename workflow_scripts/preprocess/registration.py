"""Rigid and affine registration by mutual information, with reproducible results."""

import contextlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError
from workflow_scripts.common.machine import out_of_memory

SEED = 1
ASTRAY = "the search left the image; check its orientation, and that it shows a head"
PITCHES = (-30, -15, 0, 15, 30)  # degrees
# Rotations (degrees) about each axis that are tried between two modalities of one head.
TURNS = (-25, 0, 25)
TILTS = (-20, 20)  # degrees about the other axes
# Dice of the brains below which all right angles and larger tilts are tried too.
GOOD_DICE = 0.93
# Overlap of brain and template below which a registration has failed.
LEAST_OVERLAP = 0.8
LARGE_TILTS = (-40, 40)
# Coarse searches that are refined: the best ones, with at least this share of the best one's mutual
# information.
STARTS, STARTS_SHARE = 3, 0.85
# Coarse searches that agree within this distance (mm) everywhere in the head count as one.
ALIKE_MM = 4.0
# A rotated start must have this share more mutual information than the unrotated one.
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
    # With several threads the metric is summed in a different order each time.
    method.SetNumberOfThreads(1)
    return method


@contextlib.contextmanager
def _may_leave() -> Iterator[None]:
    """Pass over a search that leaves the image, where SimpleITK raises a ``RuntimeError``; without
    memory it raises one, too."""
    try:
        yield
    except RuntimeError as error:
        if out_of_memory(error):
            raise


def _middle(image: sitk.Image) -> list[float]:
    return list(
        image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    )


def _isotropic(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Resample to cubic voxels: shrinking by a factor would lose thick slices."""
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
    """The rigid transform from points (mm) of ``fixed`` to points of ``moving``.

    Mattes mutual information (Mattes et al. 2003) at two resolutions. The search starts from the
    scanner's coordinates; the volumes are centred first only if they do not overlap there.
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
        logging.info(
            "a modality is turned relative to the reference; its search also starts from that "
            "rotation"
        )
    candidates = []
    for one in starts:
        with _may_leave():
            candidates.append(_rigid_search(fixed, moving, one))
    if not candidates:
        raise UserError(f"a modality could not be registered to the reference: {ASTRAY}")
    return min(candidates, key=lambda pair: pair[0])[1]


def _rigid_search(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform
) -> tuple[float, sitk.Transform]:
    """The metric's value (lower is better) and the rigid transform reached from a start."""
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
    """The start rotated by ``TURNS`` about each axis: the best combination by mutual information
    (smoothed by 3 mm, voxels of 6 mm); ``None`` unless it is better by ``MARGIN``."""
    small = [sitk.Shrink(sitk.SmoothingRecursiveGaussian(i, 3.0), [4] * 3) for i in (fixed, moving)]
    # Samples outside the moving image do not count: without a border, angles that lose some of the
    # background would have a better metric.
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
    the ``overlap`` of the brains under it; ``None`` if the mask is the whole image.

    ``image`` is skull-stripped with ``mask``. The search starts from the masks' centres of mass
    with several tilts of the head; the best ones are refined. If none stays in the image, or the
    Dice of the brains is below ``GOOD_DICE`` (which small brains registered rigidly never reach),
    the 24 right-angle orientations and larger tilts are tried as well. The result is the one with
    the highest mutual information among those whose brains overlap by ``LEAST_OVERLAP``, or among
    all if there are none.
    """
    rigid = sitk.Euler3DTransform(
        sitk.CenteredTransformInitializer(
            sitk.Cast(template_mask, sitk.sitkFloat32),
            sitk.Cast(mask, sitk.sitkFloat32),
            sitk.Euler3DTransform(),
            sitk.CenteredTransformInitializerFilter.MOMENTS,
        )
    )
    # Moments may rotate a nearly round brain by any angle, so only the centres are used.
    rigid.SetRotation(0, 0, 0)
    fixed, moving = _isotropic(template, 2.0), _isotropic(image, 2.0)
    around = sitk.BinaryDilate(sitk.Shrink(template_mask, [2, 2, 2]), [2, 2, 2])

    def outcome(start: _Start) -> _Outcome:
        """The result of a start."""
        transform = start.transform
        if kind == "affine":
            # Directly after the coarse search: a rigid search in between would rotate a head whose
            # size differs from the template's.
            transform = sitk.AffineTransform(3)
            transform.SetMatrix(start.transform.GetMatrix())
            transform.SetTranslation(start.transform.GetTranslation())
            transform.SetCenter(start.transform.GetCenter())
        value, solution = _search(fixed, moving, around, start.turn, transform)
        solution = _chain(type(transform)(solution), start.turn)
        overlap, dice = agreement(template_mask, mask, solution)
        logging.info(
            "registration: metric %.3f, overlap %.3f, Dice %.3f of the brains", value, overlap, dice
        )
        return _Outcome(value, solution, overlap, dice)

    def outcomes(rotations: Iterable[NDArray]) -> list[_Outcome]:
        """The results of the best starts, without those that leave the image."""
        starts, results = _starts(fixed, moving, around, rigid, rotations), []
        for start in _distinct(starts, template)[:STARTS]:
            # The metric is negative mutual information.
            if start.value <= STARTS_SHARE * starts[0].value:
                with _may_leave():
                    results.append(outcome(start))
        return results

    whole = sitk.GetArrayViewFromImage(mask).all()
    candidates = outcomes([*_turned("x", PITCHES), *_turned("y", TILTS), *_turned("z", TILTS)])
    best = min(candidates, key=lambda outcome: outcome.value, default=None)
    if best is None or (best.dice < GOOD_DICE and not whole):
        far = [*_right_angles(), *_turned("y", LARGE_TILTS), *_turned("z", LARGE_TILTS)]
        candidates += outcomes(far)
    if not candidates:
        raise UserError(f"the image could not be registered to the template: {ASTRAY}")
    # Samples outside the image do not count, so brains that hardly overlap may have a good metric.
    overlapping = [outcome for outcome in candidates if outcome.overlap >= LEAST_OVERLAP]
    best = min(overlapping or candidates, key=lambda outcome: outcome.value)
    return best.transform, None if whole else best.overlap


@dataclass(frozen=True)
class _Start:
    """A start of a search: the metric's value (lower is better), a rotation of the image, and the
    rigid transform applied before it."""

    value: float
    turn: sitk.Transform
    transform: sitk.Transform


@dataclass(frozen=True)
class _Outcome:
    """The result of a search: the metric's value (lower is better), the transform from template
    points to the image's, and the agreement of the brains (``agreement``)."""

    value: float
    transform: sitk.Transform
    overlap: float
    dice: float


def agreement(
    template_mask: sitk.Image, mask: sitk.Image, transform: sitk.Transform
) -> tuple[float, float]:
    """Overlap coefficient and Dice (0 to 1) of the template's brain and an image's, under a
    transform from template points to the image's.

    The overlap coefficient is the intersection's volume over that of the smaller brain, or over
    half of the larger one's if that is more, counted where the image has voxels. Small brains that
    were registered rigidly, and brains cut by their field of view, are not penalised.
    """
    small = sitk.Shrink(sitk.Cast(template_mask > 0, sitk.sitkUInt8), [2, 2, 2])
    nearest = (small, transform, sitk.sitkNearestNeighbor)
    brain = sitk.GetArrayFromImage(sitk.Resample(mask > 0, *nearest, 0)) > 0
    seen = sitk.GetArrayFromImage(sitk.Resample(mask * 0 + 1, *nearest, 0)) > 0
    known = (sitk.GetArrayFromImage(small) > 0) & seen
    # All of the image's brain counts, including parts outside the template's volume.
    voxel_mm3 = np.prod(small.GetSpacing())
    own = (sitk.GetArrayViewFromImage(mask) > 0).sum() * np.prod(mask.GetSpacing())
    own /= _stretch(transform) * voxel_mm3
    smaller, larger = sorted((float(known.sum()), float(own)))
    if not smaller:
        return 0.0, 0.0
    both = float((known & brain).sum())
    return both / max(smaller, larger / 2), 2 * both / (smaller + larger)


def _stretch(transform: sitk.Transform) -> float:
    """The factor by which a rigid or affine transform enlarges volumes."""
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
    """The 24 rotations (3 × 3) that map axes to axes: all orientations of a file that has lost its
    own."""
    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0:
                rotations.append(matrix)
    return rotations


def _starts(
    fixed: sitk.Image,
    moving: sitk.Image,
    mask: sitk.Image,
    start: sitk.Euler3DTransform,
    rotations: Iterable[NDArray],
) -> list[_Start]:
    """Coarse rigid searches from rotations (3 × 3) of the head, the best first, without those that
    leave the image. From a single start, heads tilted by more than some 15 degrees end in a wrong
    optimum, centimetres away.

    Heads are rotated about the image of the template's centre under ``start``. No parametrisation
    by three angles works near all orientations, so each search starts at angles of 0.
    """
    centre = start.TransformPoint(start.GetCenter())
    starts = []
    for rotation in rotations:
        turn = sitk.AffineTransform(3)
        turn.SetCenter(centre)
        turn.SetMatrix(rotation.ravel().tolist())
        method = _method(32, 0.5)
        method.SetMetricFixedMask(mask)
        method.SetShrinkFactorsPerLevel([4])
        method.SetSmoothingSigmasPerLevel([3.0])
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=2.0, minStep=1e-2, numberOfIterations=60, relaxationFactor=0.6
        )
        method.SetMovingInitialTransform(turn)
        method.SetInitialTransform(sitk.Euler3DTransform(start), inPlace=False)
        with _may_leave():
            transform = sitk.Euler3DTransform(_inner(method.Execute(fixed, moving)))
            starts.append(_Start(method.GetMetricValue(), turn, transform))
    return sorted(starts, key=lambda start: start.value)


def _distinct(starts: list[_Start], template: sitk.Image) -> list[_Start]:
    """The starts, the best first, without those that map the template's corners to within
    ``ALIKE_MM`` of where a better one maps them."""
    last = [n - 1 for n in template.GetSize()]
    corners = [
        template.TransformIndexToPhysicalPoint(corner)
        for corner in itertools.product(*((0, n) for n in last))
    ]
    distinct, seen = [], []
    for start in starts:
        points = np.array(
            [start.turn.TransformPoint(start.transform.TransformPoint(p)) for p in corners]
        )
        if all(np.linalg.norm(points - other, axis=1).max() > ALIKE_MM for other in seen):
            distinct.append(start)
            seen.append(points)
    return distinct


def _search(
    fixed: sitk.Image,
    moving: sitk.Image,
    mask: sitk.Image,
    turn: sitk.Transform,
    start: sitk.Transform,
) -> tuple[float, sitk.Transform]:
    """The metric's value (lower is better) and the transform before ``turn`` that was reached from
    a start."""
    method = _method(32, 0.2)
    method.SetMetricFixedMask(mask)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=2e-3, numberOfIterations=300, relaxationFactor=0.7
    )
    method.SetMovingInitialTransform(turn)
    method.SetInitialTransform(start, inPlace=False)
    transform = _inner(method.Execute(fixed, moving))
    return method.GetMetricValue(), transform


def _chain(first: sitk.Transform, second: sitk.Transform) -> sitk.AffineTransform:
    """The composition of two rigid or affine transforms."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    taken = np.array([second.TransformPoint(first.TransformPoint(p.tolist())) for p in points])
    chained = sitk.AffineTransform(3)
    chained.SetMatrix((taken[1:] - taken[0]).T.ravel().tolist())
    chained.SetTranslation(taken[0].tolist())
    return chained


def _inner(transform: sitk.Transform) -> sitk.Transform:
    """The single transform inside SimpleITK's composite transform."""
    composite = sitk.CompositeTransform(transform)
    return composite.GetNthTransform(composite.GetNumberOfTransforms() - 1)
