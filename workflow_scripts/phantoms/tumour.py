"""A tumour grown by reaction and diffusion, and its regions."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.masks import largest_voxels
from workflow_scripts.phantoms.plan import Plan
from workflow_scripts.phantoms.random_fields import Array, smooth_noise

GROWTH = 0.15  # per step
DIFFUSION_WHITE, DIFFUSION_GREY = 0.15, 0.002  # voxels² of 2 mm per step
LARGEST_DIFFUSION = 0.16  # voxels² per step; below 1/6 the scheme is stable
VISIBLE = 0.25  # cell density from which a voxel counts as tumour while it grows
MAX_STEPS = 900

Mask = NDArray[np.bool_]


def grow(seeds: Mask, tissue: Mask, diffusion: Array, voxels: float) -> Array:
    """Tumour burden (X, Y, Z): cell density summed over time, until ``voxels`` are visible.

    Fisher–KPP (Swanson et al. 2000): ``du/dt = div(D grad u) + r u (1 - u)``, on ``tissue`` only
    with no flux through its boundary. The burden orders voxels from the oldest part outwards.
    """
    mobility = np.where(tissue, diffusion, 0).astype(np.float32)
    faces = []
    for axis in range(3):
        a, b = _pair(mobility, axis)
        faces.append(2 * a * b / np.maximum(a + b, 1e-6))  # harmonic mean: 0 at a wall
    density = (seeds & tissue).astype(np.float32)
    burden = np.zeros_like(density)
    for _ in range(MAX_STEPS):
        change = GROWTH * density * (1 - density)
        change[~tissue] = 0
        for axis in range(3):
            low, high = _pair(density, axis)
            flux = faces[axis] * (high - low)
            low_change, high_change = _pair(change, axis)
            low_change += flux
            high_change -= flux
        density += change
        burden += density
        if np.count_nonzero(density > VISIBLE) >= voxels:
            break
    return burden


def _pair(volume: Array, axis: int) -> tuple[Array, Array]:
    """Views of a volume without its last, and without its first, layer along an axis."""
    low, high = [slice(None)] * 3, [slice(None)] * 3
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return volume[tuple(low)], volume[tuple(high)]


def tumour_burden(plan: Plan, white: Array, tissue: Mask, site: tuple, spacing_mm: float) -> Array:
    """Grow the planned tumour on the half grid from ``site``, and fill it in a box.

    ``white`` is the white-matter fraction. Outside the tissue the burden of the nearest tissue
    is taken, so that it can be interpolated up to the edge.
    """
    target = plan.volume_ml * 1000 / spacing_mm**3
    reach = int(np.ceil(2.0 * (3 * target / (4 * np.pi)) ** (1 / 3))) + 6
    box = tuple(
        slice(max(0, c - reach), min(n, c + reach + 1))
        for c, n in zip(site, tissue.shape, strict=True)
    )
    inside = tissue[box]
    rng = plan.generator(2)
    coarse, fine = (smooth_noise(rng, inside.shape, mm / spacing_mm) for mm in (10, 5))
    noise = 0.8 * coarse + 0.6 * fine
    uneven = np.exp(plan.unevenness * noise)
    share = np.clip(white[box] * 1.6 - 0.6, 0, 1)
    diffusion = DIFFUSION_GREY + (DIFFUSION_WHITE - DIFFUSION_GREY) * share
    diffusion = np.minimum(diffusion * uneven * (2 / spacing_mm) ** 2, LARGEST_DIFFUSION)
    centre = np.array([c - part.start for c, part in zip(site, box, strict=True)])
    seeds = _seeds(
        rng, centre, plan.elongation * (3 * target / (4 * np.pi)) ** (1 / 3), inside.shape
    )
    burden = grow(seeds, inside, diffusion, 1.3 * target)
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    result = np.zeros(tissue.shape, np.float32)
    result[box] = np.log1p(burden[tuple(nearest)])
    return result


def _seeds(rng: np.random.Generator, centre: NDArray, reach: float, shape: tuple[int, ...]) -> Mask:
    """First cells along a stretch of random direction, ``reach`` voxels to either side."""
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    steps = np.linspace(-reach, reach, 2 * int(np.ceil(reach)) + 1)
    line = np.round(centre + steps[:, None] * direction).astype(int)
    line = line[np.all((line >= 0) & (line < shape), axis=1)]
    seeds = np.zeros(shape, bool)
    seeds[tuple(line.T)] = True
    seeds[tuple(centre)] = True
    return seeds


def tumour_label(plan: Plan, burden: Array, tissue: Mask, spacing_mm: float) -> NDArray[np.uint8]:
    """Canonical labels (X, Y, Z): 1 necrotic core, 2 oedema, 3 enhancing rim.

    The whole tumour has the planned volume: the voxels of ``tissue`` with the highest burden.
    Its oldest part is the core; what lies deeper in the core than the rim is thick is dead.
    """
    whole = largest_voxels(burden, tissue, round(plan.volume_ml * 1000 / spacing_mm**3))
    rng = plan.generator(3)
    lumpy = burden + 0.12 * smooth_noise(rng, burden.shape, 7 / spacing_mm)
    core = largest_voxels(lumpy, whole, round(plan.core_share * np.count_nonzero(whole)))
    core = ndimage.binary_opening(core, iterations=1) & whole
    depth = ndimage.distance_transform_edt(core) * spacing_mm
    uneven = np.exp(0.4 * smooth_noise(rng, burden.shape, 8 / spacing_mm))
    rim = np.minimum(plan.rim_mm * uneven, 0.6 * depth.max())
    label = np.where(whole, 2, 0).astype(np.uint8)
    label[core] = 3
    label[core & (depth > rim)] = 1
    return label
