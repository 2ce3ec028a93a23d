"""Rigid and affine registration by mutual information, the same result each time."""

import numpy as np
import SimpleITK as sitk

SEED = 1
PITCHES = (-30, -15, 0, 15, 30)  # degrees


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
    method = _method(40, 0.2)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-3, numberOfIterations=120, relaxationFactor=0.6
    )
    method.SetInitialTransform(start, inPlace=False)
    return sitk.Euler3DTransform(_inner(method.Execute(fixed, moving)))


def register_to_template(
    template: sitk.Image, template_mask: sitk.Image, image: sitk.Image, mask: sitk.Image, kind: str
) -> sitk.Transform:
    """The ``affine`` or ``rigid`` transform from template points (mm) to the image's points.

    ``image`` is skull-stripped by ``mask``. The search starts from the masks' centres of mass
    and from several pitches of the head, of which the best goes on.
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
    found = _search(fixed, moving, around, _best_pitch(fixed, moving, around, rigid))
    if kind == "rigid":
        return sitk.Euler3DTransform(found)
    affine = sitk.AffineTransform(3)
    rigid = sitk.Euler3DTransform(found)
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    affine.SetCenter(rigid.GetCenter())
    return sitk.AffineTransform(_search(fixed, moving, around, affine))


def _best_pitch(
    fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image, start: sitk.Euler3DTransform
) -> sitk.Transform:
    """A coarse rigid search from each pitch: a head that nods by more than some 15 degrees
    otherwise ends in a wrong optimum, centimetres away."""
    found = []
    for pitch in PITCHES:
        tilted = sitk.Euler3DTransform(start)
        tilted.SetRotation(float(np.deg2rad(pitch)), 0, 0)
        method = _method(32, 0.5)
        method.SetMetricFixedMask(mask)
        method.SetShrinkFactorsPerLevel([4])
        method.SetSmoothingSigmasPerLevel([3.0])
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=2.0, minStep=1e-2, numberOfIterations=60, relaxationFactor=0.6
        )
        method.SetInitialTransform(tilted, inPlace=False)
        transform = _inner(method.Execute(fixed, moving))
        found.append((method.GetMetricValue(), transform))
    return min(found, key=lambda pair: pair[0])[1]


def _search(
    fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image, start: sitk.Transform
) -> sitk.Transform:
    method = _method(32, 0.1)
    method.SetMetricFixedMask(mask)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=2e-3, numberOfIterations=100, relaxationFactor=0.6
    )
    method.SetInitialTransform(start, inPlace=False)
    return _inner(method.Execute(fixed, moving))


def _inner(transform: sitk.Transform) -> sitk.Transform:
    """The one transform inside the composite that SimpleITK returns."""
    composite = sitk.CompositeTransform(transform)
    return composite.GetNthTransform(composite.GetNumberOfTransforms() - 1)
