"""A tumour grown by reaction and diffusion, and its regions.

It grows on the half grid (voxels of 2 mm in a whole head); its label is on the whole grid.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.masks import largest_voxels
from workflow_scripts.phantoms.plan import Plan
from workflow_scripts.phantoms.random_fields import Array, smooth_noise

GROWTH = 0.15  # r, per step
DIFFUSION_WHITE, DIFFUSION_GREY = 0.15, 0.002  # D, in voxels² of 2 mm per step
LARGEST_DIFFUSION = 0.16  # voxels² per step; explicit steps in 3-D are stable below 1/6
VISIBLE = 0.25  # cell density from which a voxel counts as tumour while it grows
MAX_STEPS = 900

Mask = NDArray[np.bool_]


def grow(seeds: Mask, tissue: Mask, diffusion: Array, voxels: float) -> Array:
    """Tumour burden (X, Y, Z): cell density ``u`` (0 to 1) summed over time, until that of
    ``voxels`` voxels exceeds ``VISIBLE``, or for ``MAX_STEPS`` steps.

    Fisher–KPP equation (Swanson et al. 2000): ``du/dt = div(D grad u) + r u (1 - u)``, on
    ``tissue`` (X, Y, Z) without flux through its boundary, from ``u = 1`` at the ``seeds``
    (X, Y, Z). ``diffusion`` (X, Y, Z) is D in voxels² per step; r is ``GROWTH``. Time steps are
    explicit, space is discretised by finite volumes. The burden falls from the oldest part of the
    tumour outwards.
    """
    mobility = np.where(tissue, diffusion, 0).astype(np.float32)
    # Diffusivity at the face between two voxels: their harmonic mean, which is 0 at a boundary.
    faces = []
    for axis in range(3):
        a, b = _pair(mobility, axis)
        faces.append(2 * a * b / np.maximum(a + b, 1e-6))
    density = (seeds & tissue).astype(np.float32)
    burden = np.zeros_like(density)
    for _ in range(MAX_STEPS):
        change = GROWTH * density * (1 - density)
        change[~tissue] = 0
        # What flows through a face enters one voxel and leaves the other. The views change
        # ``change`` itself.
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
    """Views of a volume (X, Y, Z) without its last, and without its first, layer along an axis:
    neighbours at the same index."""
    low, high = [slice(None)] * 3, [slice(None)] * 3
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return volume[tuple(low)], volume[tuple(high)]


def tumour_burden(plan: Plan, white: Array, tissue: Mask, site: tuple, spacing_mm: float) -> Array:
    """Burden (x, y, z) of the planned tumour, as ``log(1 + burden)``, grown from the voxel
    ``site``.

    ``white`` (x, y, z) is the fraction of white matter, in which tumours spread faster; ``tissue``
    (x, y, z) is where they can be. Outside the tissue the burden is that of the nearest tissue, so
    that it can be interpolated up to the edge.
    """
    # Growth is computed in a box of about twice the radius of a ball of the planned volume.
    target = plan.volume_ml * 1000 / spacing_mm**3
    reach = int(np.ceil(2.0 * (3 * target / (4 * np.pi)) ** (1 / 3))) + 6
    box = tuple(
        slice(max(0, c - reach), min(n, c + reach + 1))
        for c, n in zip(site, tissue.shape, strict=True)
    )
    inside = tissue[box]
    # Diffusivity: between that of grey and that of white matter, times log-normal noise.
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
    # It grows beyond the planned volume: some voxels are lost when the label is cut to tissue.
    burden = grow(seeds, inside, diffusion, 1.3 * target)
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    result = np.zeros(tissue.shape, np.float32)
    result[box] = np.log1p(burden[tuple(nearest)])
    return result


def _seeds(rng: np.random.Generator, centre: NDArray, reach: float, shape: tuple[int, ...]) -> Mask:
    """Mask of ``shape`` with the tumour's first cells: a line through the voxel ``centre`` in a
    random direction, ``reach`` voxels to either side."""
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
    """Canonical labels (X, Y, Z) of the planned tumour: 1 necrotic core, 2 oedema, 3 enhancing rim.

    The whole tumour has the planned volume (mL): it is made of the voxels of ``tissue`` (X, Y, Z)
    with the highest ``burden`` (X, Y, Z). The part of highest burden is the core. What lies deeper
    in the core than its rim is thick is necrotic. The rim's thickness varies, and is at most 0.6 of
    the core's depth, so that no core is all rim.
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
