"""From a phantom's voxels to the template: affine, smooth diffeomorphism, field of view."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.grid import TEMPLATE_CENTRE_MM, Grid
from workflow_scripts.phantoms.plan import Plan
from workflow_scripts.phantoms.random_fields import Array, rotation, sample, voxel_points
from workflow_scripts.phantoms.template import FLOOR_MM, LOW_MM, Template

DOUBLINGS = 5  # of a small step of the deformation
STEP_MM = 4.0  # of the grid on which the deformation is computed
# What registration to the template leaves: standard deviations of the turn about x, y and z, of the
# scale, of the shear of xy, xz and yz, and of the shift, over the demo's phantoms
# (``python -m workflow_scripts.bench.measure_registration results``). The plane between the
# hemispheres is met well.
RESIDUAL_DEG = (1.0, 0.3, 0.3)
RESIDUAL_SCALE = 0.02
RESIDUAL_SHEAR = (0.005, 0.005, 0.016)
RESIDUAL_MM = (0.3, 0.9, 0.7)
HEAD_MM = 1.0  # of the voxels of a whole head
GRID_MM = 1.5  # at most, of the voxels of a brain that is made on a grid
MARGIN_MM = 5.0  # of air around the head
REACH_MM = 140.0  # from the middle of the head, all that could be in view


@dataclass(frozen=True)
class Frame:
    """A phantom's grid, and the way from there to the template.

    ``shape`` is odd, so that ``half_shape``, with a node at every second voxel, spans the same.
    ``template_mm`` (3, x, y, z) is the template point of each node of that half grid.
    ``affine`` takes voxels to the scanner's mm, ``to_template`` the scanner's mm to the
    template's, but for the deformation.
    """

    shape: tuple[int, int, int]
    half_shape: tuple[int, int, int]
    spacing_mm: float  # the same along all axes
    template_mm: Array
    affine: NDArray[np.float64]
    to_template: NDArray[np.float64]

    @property
    def half_mm(self) -> float:
        """Spacing of the half grid, on which the tumour grows."""
        return 2 * self.spacing_mm


def head_matrix(plan: Plan) -> NDArray[np.float64]:
    """Millimetres from the middle of the head to template millimetres, 4 × 4."""
    shear = np.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = plan.head_shear
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(plan.head_scale) @ shear @ rotation(plan.head_rotation_deg)
    matrix[:3, 3] = (0.0, -18.0, 5.0)
    return matrix


def integrate(velocity: Array) -> Array:
    """Displacement (3, X, Y, Z) in voxels of the flow of a stationary velocity field at time 1.

    Scaling and squaring (Arsigny et al. 2006): a small step is composed with itself ``DOUBLINGS``
    times, which keeps the map invertible.
    """
    points = voxel_points(velocity.shape[1:])
    displacement = velocity / 2**DOUBLINGS
    for _ in range(DOUBLINGS):
        displacement = displacement + sample(displacement, points + displacement)
    return displacement


def symmetric(velocity: Array, asymmetry: float) -> Array:
    """A velocity field (3, x, y, z) of noise on a grid that is centred on x = 0, of which a share
    ``asymmetry`` of the standard deviation differs between the hemispheres.

    A person's hemispheres are more alike than two persons' brains. The field is split into its
    symmetric and its antisymmetric part, which have the same variance, and these are weighted: the
    variance of the whole stays as it is.
    """
    mirrored = velocity[:, ::-1] * np.array([-1, 1, 1], velocity.dtype)[:, None, None, None]
    same, different = velocity + mirrored, velocity - mirrored
    weight = np.float32(np.sqrt(1 - asymmetry**2))
    return (weight * same + np.float32(asymmetry) * different) / np.float32(np.sqrt(2))


def random_displacement(plan: Plan, template: Template, sd_mm: float, asymmetry: float) -> Array:
    """Displacement in mm (3, x, y, z) on a grid of 4 mm that starts at ``LOW_MM``.

    Two scales of smooth noise, made more or less symmetric (``symmetric``), and the ventricles'
    walls moved outwards.
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
    # A point beyond the wall reads the fluid inside: the walls move outwards.
    velocity -= (outwards * fade).astype(np.float32)
    return integrate(velocity) * np.float32(STEP_MM)


def _template_points(head_mm: Array, matrix: NDArray, displacement: Array) -> Array:
    flat = matrix[:3, :3] @ head_mm.reshape(3, -1) + matrix[:3, 3:]
    points = flat.reshape(head_mm.shape).astype(np.float32)
    low = LOW_MM.astype(np.float32)[:, None, None, None]
    return points + sample(displacement, (points - low) / np.float32(STEP_MM))


def _half_points(low_mm: NDArray, half_shape: tuple[int, ...], spacing_mm: float) -> Array:
    """Millimetres of the half grid's nodes, the first at ``low_mm``."""
    points = voxel_points(half_shape) * np.float32(2 * spacing_mm)
    return points + low_mm.astype(np.float32)[:, None, None, None]


def build_frame(plan: Plan, template: Template, sd_mm: float, asymmetry: float) -> Frame:
    """Deform the head as planned, and crop the field of view to it."""
    matrix = head_matrix(plan)
    displacement = random_displacement(plan, template, sd_mm, asymmetry)
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
    """A deformed brain on the grid of template space, at about ``GRID_MM`` and over its whole
    extent: what preprocessing would have made of a head, but for what registration leaves."""
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
    """Grid millimetres to template millimetres (4 × 4) as an affine registration leaves them, drawn
    from the plan: off by ``RESIDUAL_DEG``, ``RESIDUAL_SCALE``, ``RESIDUAL_SHEAR`` and
    ``RESIDUAL_MM``."""
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
    """Half-grid points (3, x, y, z) that tissue came from, after a mass pushed it away.

    The push grows to ``push_mm`` at ``radius_mm`` from the ``centre`` (half-grid voxels), fades
    beyond, and ends at the skull.
    """
    points = voxel_points(frame.half_shape)
    offset = points - np.asarray(centre, np.float32)[:, None, None, None]
    distance = np.sqrt((offset**2).sum(0)) * np.float32(frame.half_mm / radius_mm)
    fade = np.exp(1 - distance) * np.clip(-from_brain / 10, 0, 1)
    return points - offset * (fade * np.float32(push_mm / radius_mm))
