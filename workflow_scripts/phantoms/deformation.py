"""From a phantom's voxels to the template: affine, smooth diffeomorphism, field of view.

A phantom is the template read at deformed points: each of its voxels has a point in template space.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.grid import TEMPLATE_CENTRE_MM, Grid
from workflow_scripts.phantoms.plan import Plan
from workflow_scripts.phantoms.random_fields import Array, rotation, sample, voxel_points
from workflow_scripts.phantoms.template import FLOOR_MM, LOW_MM, Template

DOUBLINGS = 5  # compositions of a small step of the deformation with itself
STEP_MM = 4.0  # of the grid on which the deformation is computed
# What registration to the template leaves: standard deviations of the turn about x, y and z, of the
# scale, of the shear of xy, xz and yz, and of the shift, over the demo's phantoms
# (``python -m workflow_scripts.bench.measure_registration results``). The plane between the
# hemispheres is met well.
RESIDUAL_DEG = (1.0, 0.3, 0.3)
RESIDUAL_SCALE = 0.02
RESIDUAL_SHEAR = (0.005, 0.005, 0.016)
RESIDUAL_MM = (0.3, 0.9, 0.7)
HEAD_MM = 1.0  # width of the voxels of a whole head
GRID_MM = 1.5  # largest width of the voxels of a brain that is simulated on a grid
MARGIN_MM = 5.0  # of air around the head
REACH_MM = 140.0  # from the middle of the head to the farthest point that can be in view


@dataclass(frozen=True)
class Frame:
    """A phantom's whole grid and half grid, and their transforms to the template.

    ``shape`` is odd along each axis, so that the half grid, with a node at every second voxel, ends
    at the same points. ``template_mm`` (3, x, y, z) is the template point of each of its nodes,
    with the deformation. ``affine`` (4 × 4) takes stored voxels to scanner mm, ``to_template``
    (4 × 4) takes scanner mm to template mm without the deformation.
    """

    shape: tuple[int, int, int]
    half_shape: tuple[int, int, int]
    spacing_mm: float  # the same along all axes
    template_mm: Array
    affine: NDArray[np.float64]
    to_template: NDArray[np.float64]

    @property
    def half_mm(self) -> float:
        """Spacing of the half grid in mm. The tumour grows there, at an eighth of the cost."""
        return 2 * self.spacing_mm


def head_matrix(plan: Plan) -> NDArray[np.float64]:
    """Matrix (4 × 4) from mm relative to the middle of the head to template mm: rotation, shear and
    scale as planned."""
    shear = np.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = plan.head_shear
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(plan.head_scale) @ shear @ rotation(plan.head_rotation_deg)
    matrix[:3, 3] = (0.0, -18.0, 5.0)
    return matrix


def integrate(velocity: Array) -> Array:
    """Displacement (3, X, Y, Z) in voxels of the flow of a stationary velocity field (3, X, Y, Z),
    in voxels per unit of time, at time 1.

    Scaling and squaring (Arsigny et al. 2006): with ``u = velocity / 2^DOUBLINGS`` for the first
    small step, ``u(x) <- u(x) + u(x + u(x))`` doubles the time, ``DOUBLINGS`` times. A smooth
    velocity gives an invertible map, whose inverse is the flow of ``-velocity``.
    """
    points = voxel_points(velocity.shape[1:])
    displacement = velocity / 2**DOUBLINGS
    for _ in range(DOUBLINGS):
        displacement = displacement + sample(displacement, points + displacement)
    return displacement


def symmetric(velocity: Array, asymmetry: float) -> Array:
    """A velocity field (3, x, y, z), more alike in both hemispheres, from one of noise on a grid
    that is centred on x = 0.

    A person's hemispheres are more alike than two persons' brains. The symmetric part S and the
    antisymmetric part A of noise v, ``v = (S + A) / √2``, have its variance. The result is
    ``√(1 - a²) S + a A`` with a = ``asymmetry`` (0 to 1), which keeps the variance. With
    ``a = √½`` it is the noise itself.
    """
    mirrored = velocity[:, ::-1] * np.array([-1, 1, 1], velocity.dtype)[:, None, None, None]
    same, different = velocity + mirrored, velocity - mirrored
    weight = np.float32(np.sqrt(1 - asymmetry**2))
    return (weight * same + np.float32(asymmetry) * different) / np.float32(np.sqrt(2))


def random_displacement(plan: Plan, template: Template, sd_mm: float, asymmetry: float) -> Array:
    """Displacement (3, x, y, z) in mm on a grid of ``STEP_MM`` that starts at ``LOW_MM``.

    The velocity is smooth noise of two scales, standard deviations of 20 and 8 mm, symmetric as far
    as ``asymmetry`` says, plus an outward shift of the ventricles' walls by the planned mm.
    ``sd_mm`` is the standard deviation of the velocity's coarse part along each axis.
    """
    rng = plan.generator(1)
    distance = template.distance[2, ::2, ::2, ::2]
    velocity = np.zeros((3, *distance.shape), np.float32)
    for axis in range(3):
        for sigma, share in ((5.0, 1.0), (2.0, 0.35)):
            noise = rng.standard_normal(distance.shape, dtype=np.float32)
            smooth = ndimage.gaussian_filter(noise, sigma)
            velocity[axis] += smooth / smooth.std() * np.float32(share * sd_mm / STEP_MM)
    velocity = symmetric(velocity, asymmetry)
    outwards = np.stack(np.gradient(distance)) / STEP_MM
    fade = np.exp(-np.abs(distance) / 8) * (plan.ventricle_mm / STEP_MM)
    # The displacement leads from the phantom to the template. Walls move outwards where a point
    # beyond the wall takes the fluid that is farther inside: hence the minus.
    velocity -= (outwards * fade).astype(np.float32)
    return integrate(velocity) * np.float32(STEP_MM)


def _template_points(head_mm: Array, matrix: NDArray, displacement: Array) -> Array:
    """Template points (3, x, y, z) in mm of points (3, x, y, z) in mm: ``matrix`` (4 × 4), then the
    displacement."""
    flat = matrix[:3, :3] @ head_mm.reshape(3, -1) + matrix[:3, 3:]
    points = flat.reshape(head_mm.shape).astype(np.float32)
    low = LOW_MM.astype(np.float32)[:, None, None, None]
    return points + sample(displacement, (points - low) / np.float32(STEP_MM))


def _half_points(low_mm: NDArray, half_shape: tuple[int, ...], spacing_mm: float) -> Array:
    """Nodes (3, x, y, z) in mm of the half grid of a grid of ``spacing_mm``, the first at
    ``low_mm``."""
    points = voxel_points(half_shape) * np.float32(2 * spacing_mm)
    return points + low_mm.astype(np.float32)[:, None, None, None]


def build_frame(plan: Plan, template: Template, sd_mm: float, asymmetry: float) -> Frame:
    """The grid of a whole head, deformed as planned, with a field of view that fits it.

    The deformation is that of ``random_displacement``.
    """
    matrix = head_matrix(plan)
    displacement = random_displacement(plan, template, sd_mm, asymmetry)
    # Find the head on a coarse grid: all points under the skin, above the lower end of the view.
    nodes = int(2 * REACH_MM / STEP_MM) + 1
    head_mm = voxel_points((nodes,) * 3) * np.float32(STEP_MM) - np.float32(REACH_MM)
    points = _template_points(head_mm, matrix, displacement)
    under_skin = sample(template.distance[1:2], template.distance_voxels(points))[0]
    inside = np.argwhere((under_skin > 0) & (points[2] > FLOOR_MM))
    low = inside.min(0) * STEP_MM - REACH_MM - MARGIN_MM
    high = inside.max(0) * STEP_MM - REACH_MM + MARGIN_MM
    low[2] += MARGIN_MM  # the neck runs out of view
    half_shape = tuple(int(n) + 1 for n in np.ceil((high - low) / (2 * HEAD_MM)))
    shape = tuple(2 * n - 1 for n in half_shape)
    half_mm = _half_points(low, half_shape, HEAD_MM)

    # Stored voxels to scanner mm: axes in the planned directions, then the head's position, then
    # the scanner's oblique axes and origin.
    to_head = np.eye(4)  # voxels to mm from the middle of the head
    to_head[:3, 3] = low
    flips = np.array(plan.flips, float)
    scanner = np.eye(4)
    scanner[:3, :3] = rotation(plan.scanner_rotation_deg)
    scanner[:3, 3] = plan.scanner_origin_mm
    turn = np.diag([*flips, 1.0])
    turn[:3, 3] = np.where(flips < 0, np.array(shape) - 1, 0)
    stored = scanner @ to_head @ turn
    return Frame(
        shape=shape,
        half_shape=half_shape,
        spacing_mm=HEAD_MM,
        template_mm=_template_points(half_mm, matrix, displacement),
        affine=stored,
        to_template=matrix @ np.linalg.inv(scanner),
    )


def grid_frame(plan: Plan, template: Template, sd_mm: float, asymmetry: float, grid: Grid) -> Frame:
    """The grid of a deformed brain in template space, over the extent of ``grid``, with voxels of
    ``GRID_MM`` at most.

    The brain lies where preprocessing would have brought that of a head, with the errors that
    registration leaves (``residual_matrix``).
    """
    displacement = random_displacement(plan, template, sd_mm, asymmetry)
    spacing = max(min(*grid.spacing_mm, 2 * GRID_MM) / 2, HEAD_MM / 2)
    low = grid.affine[:3, 3] - np.array(grid.spacing_mm) / 2
    half_shape = tuple(int(n) + 1 for n in np.ceil(np.array(grid.extent_mm) / (2 * spacing)))
    half_mm = _half_points(low, half_shape, spacing)
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = low
    matrix = residual_matrix(plan)
    return Frame(
        shape=tuple(2 * n - 1 for n in half_shape),
        half_shape=half_shape,
        spacing_mm=spacing,
        template_mm=_template_points(half_mm, matrix, displacement),
        affine=affine,
        to_template=matrix,
    )


def residual_matrix(plan: Plan) -> NDArray[np.float64]:
    """Matrix (4 × 4) from grid mm to template mm, close to the identity: the error that an affine
    registration leaves.

    It is normally distributed, with the standard deviations ``RESIDUAL_DEG``, ``RESIDUAL_SCALE``,
    ``RESIDUAL_SHEAR`` and ``RESIDUAL_MM``, about the centre of the template.
    """
    rng = plan.generator(20)
    shear = np.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = rng.normal(0, RESIDUAL_SHEAR)
    matrix, turn = np.eye(4), rotation(rng.normal(0, RESIDUAL_DEG))
    matrix[:3, :3] = np.diag(1 + rng.normal(0, RESIDUAL_SCALE, 3)) @ shear @ turn
    middle = np.array(TEMPLATE_CENTRE_MM)
    matrix[:3, 3] = middle - matrix[:3, :3] @ (middle + rng.normal(0, RESIDUAL_MM))
    return matrix


def push_outwards(
    frame: Frame, from_brain: Array, centre: NDArray, radius_mm: float, push_mm: float
) -> Array:
    """Half-grid points (3, x, y, z), in voxels, that tissue came from before a mass displaced it.

    The displacement is radial from the ``centre`` (half-grid voxels). At r radii of
    ``radius_mm`` it is ``push_mm · r exp(1 - r)``, with its maximum at the radius. Over the outer
    10 mm of the brain, of depth ``-from_brain`` (x, y, z), it fades to 0.
    """
    points = voxel_points(frame.half_shape)
    offset = points - np.asarray(centre, np.float32)[:, None, None, None]
    distance = np.sqrt((offset**2).sum(0)) * np.float32(frame.half_mm / radius_mm)
    fade = np.exp(1 - distance) * np.clip(-from_brain / 10, 0, 1)
    return points - offset * (fade * np.float32(push_mm / radius_mm))
