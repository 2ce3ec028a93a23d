"""A phantom's tissues: brain with tumour and lesions, fluid, skull and scalp.

Tissues are fractions of each voxel, so that images have partial volume at every border. The half
grid and the whole grid are those of the ``Frame``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.phantoms.deformation import Frame, push_outwards
from workflow_scripts.phantoms.plan import Plan
from workflow_scripts.phantoms.random_fields import Array, resize, sample, smooth_noise
from workflow_scripts.phantoms.template import Template
from workflow_scripts.phantoms.tumour import tumour_burden, tumour_label

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Anatomy:
    """Fractions of tissues, 0 to 1, on the whole grid (X, Y, Z) and in a ``box`` (x, y, z) of it
    that holds the brain.

    ``brain`` (mask) and ``label`` (canonical) are the truth that the images are made from.
    """

    box: Box
    outer: dict[str, Array]  # (X, Y, Z) each; what remains is air
    inner: dict[str, Array]  # (x, y, z) each; they sum to 1
    inside: Array  # (x, y, z): share of a voxel that is brain, where ``inner`` replaces ``outer``
    brain: NDArray[np.uint8]
    label: NDArray[np.uint8]


def _rise(value: Array, width: float = 1.0) -> Array:
    """A ramp from 0 to 1 as ``value`` passes 0, ``width`` wide in the same unit: the share of a
    voxel beyond a border at distance ``value``."""
    return np.clip(value * np.float32(1 / width) + np.float32(0.5), 0, 1)


def outer_tissues(plan: Plan, frame: Frame, from_brain: Array, under_skin: Array) -> dict:
    """Fractions (X, Y, Z) of fluid, bone, marrow, fat and muscle around the brain.

    ``from_brain`` and ``under_skin`` (x, y, z) are distances in mm on the half grid, from the
    brain's surface and from the skin. The layers have the planned thicknesses, with noise.
    """
    rng = plan.generator(4)
    half = frame.half_shape
    uneven = [np.exp(0.25 * smooth_noise(rng, half, 8)) for _ in range(3)]
    bone_start = from_brain - plan.csf_mm * uneven[0]
    bone_end = bone_start - plan.bone_mm * uneven[1]
    fat_depth = under_skin - 1.8 - plan.fat_mm * uneven[2]
    # Streaks of fat between the muscles of neck and face.
    streaks = smooth_noise(rng, half, 4)
    start, end, skin, deep, streaks = resize(
        np.stack([bone_start, bone_end, under_skin, fat_depth, streaks]), frame.shape
    )
    # From the brain outwards: fluid up to ``start``, bone with marrow in its middle up to ``end``,
    # then soft tissue, of which the layer under the skin is fat.
    head = _rise(skin)
    bone_in, bone_out = _rise(start), _rise(end)
    skull = (bone_in - bone_out) * head
    marrow = np.clip(_rise(start - 1.6) - _rise(end + 1.6), 0, 1) * head
    soft = bone_out * head
    fat = _rise(skin - 1.8) * (1 - _rise(deep)) + _rise(deep) * (streaks > 0.9)
    fat = np.clip(fat, 0, 1) * soft
    return {
        "csf": (1 - bone_in) * head,
        "bone": skull - marrow,
        "marrow": marrow,
        "fat": fat,
        "muscle": soft - fat,
    }


def brain_tissues(plan: Plan, maps: Array, spacing_mm: float) -> dict[str, Array]:
    """Fractions (x, y, z) of fluid, grey and white matter, which sum to 1, from the warped maps
    (2 or more, x, y, z) of grey and white matter, with voxels of ``spacing_mm``.

    The template is an average of many brains, in which folds are blurred. Squaring the maps
    sharpens them; log-normal noise then favours one tissue or another where they are mixed, so
    that each patient has folds of its own.
    """
    rng = plan.generator(5)
    grey, white = maps[0], maps[1]
    fluid = np.clip(1 - grey - white, 0, 1)
    shape = grey.shape
    fluid = fluid**2 * np.exp(1.1 * smooth_noise(rng, shape, 5 / spacing_mm))
    white = white**2 * np.exp(0.6 * smooth_noise(rng, shape, 6 / spacing_mm))
    grey = grey**2 + np.float32(1e-4)
    total = fluid + grey + white
    return {"csf": fluid / total, "grey": grey / total, "white": white / total}


def _site(plan: Plan, white: Array, from_brain: Array, template_mm: Array) -> tuple:
    """The half-grid voxel where the tumour starts, the planned one of all white matter that lies in
    the hemispheres and at least 4 mm deep in the brain."""
    x, y, z = template_mm
    cerebrum = (z > -22) & ((y > -38) | (z > 0)) & (np.abs(x) > 8)
    places = np.argwhere(cerebrum & (white > 0.6) & (from_brain < -4))
    return tuple(int(v) for v in places[int(plan.site * len(places))])


def _brain_box(from_brain: Array) -> tuple[Box, Box]:
    """The box of the brain with a margin of 4 mm on the half grid, and on the whole grid."""
    inside = np.argwhere(from_brain < 4)
    low, high = inside.min(0), inside.max(0)
    half = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    return half, tuple(slice(2 * s.start, 2 * s.stop - 1) for s in half)


def _lesions(plan: Plan, white: Array, spacing_mm: float) -> Array:
    """White-matter lesions (x, y, z), 0 to 1: the planned number of small blobs in white matter
    (x, y, z). They are not labelled."""
    rng = plan.generator(6)
    result = np.zeros(white.shape, np.float32)
    places = np.argwhere(white > 0.85)
    for _ in range(plan.lesion_count):
        centre = places[rng.integers(len(places))]
        # Ellipsoids with radii of some 3 mm, each drawn in its own box.
        radii = (rng.gamma(4.0, 0.55) * np.exp(rng.normal(0, 0.25, 3)) + 0.6) / spacing_mm
        reach = np.ceil(radii + 2).astype(int)
        low = np.maximum(centre - reach, 0)
        box = tuple(slice(a, b) for a, b in zip(low, centre + reach + 1, strict=True))
        part = result[box]
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in part.shape), indexing="ij"))
        offset = (grid + (low - centre).reshape(3, 1, 1, 1)) / radii.reshape(3, 1, 1, 1)
        depth = 1 - np.sqrt((offset**2).sum(0))
        np.maximum(part, _rise(depth.astype(np.float32) * radii.min(), 2.0 / spacing_mm), out=part)
    return result * np.clip(white * 1.5, 0, 1)


def _caps(plan: Plan, from_ventricles: Array, template_mm: Array, half_mm: float) -> Array:
    """Periventricular caps and rims (x, y, z) on the half grid, 0 or more, from the distance to the
    ventricles in mm and template points (3, x, y, z). They are highest at the ventricles' horns,
    before and behind the plane y = -8 mm."""
    uneven = 4 * np.exp(0.4 * smooth_noise(plan.generator(7), from_ventricles.shape, 16 / half_mm))
    horns = np.clip((np.abs(template_mm[1] + 8) - 15) / 20, 0.15, 1)
    band = np.exp(-np.clip(from_ventricles, 0, None) / (uneven * (0.4 + horns)))
    return band * horns * plan.caps


def _place_tumour(
    inner: dict[str, Array], label: NDArray[np.uint8], border: float, edge: float
) -> dict[str, Array]:
    """Fractions (x, y, z) with oedema, enhancing tumour and necrosis in place of tissue.

    ``border`` and ``edge`` are standard deviations, in voxels, of the Gaussians that soften the
    outline of the oedema and that of the core.
    """
    whole = ndimage.gaussian_filter((label > 0).astype(np.float32), border)
    core = ndimage.gaussian_filter(((label == 1) | (label == 3)).astype(np.float32), edge)
    dead = np.minimum(ndimage.gaussian_filter((label == 1).astype(np.float32), edge), core)
    # Oedema seeps into tissue and leaves the fluid in the folds; the core displaces both.
    oedema = np.clip(whole - core, 0, 1) * (1 - inner["csf"])
    solid = 1 - inner["csf"]
    left = np.clip(solid - oedema - core * solid, 0, None) / np.maximum(solid, 1e-4)
    result = {name: inner[name] * left for name in ("grey", "white", "lesion")}
    result["vessel"] = inner["vessel"] * left
    result["oedema"], result["enhancing"], result["necrosis"] = oedema, core - dead, dead
    result["csf"] = np.clip(1 - sum(result.values()), 0, 1)
    return result


@dataclass(frozen=True)
class Mass:
    """A tumour that only displaces tissue, without being drawn: its centre, in mm of the frame's
    grid, and its volume."""

    centre_mm: tuple[float, float, float]
    volume_ml: float


def build_anatomy(
    plan: Plan,
    frame: Frame,
    template: Template,
    head: bool = True,
    mass: Mass | None = None,
    tumour: bool = True,
) -> Anatomy:
    """All tissues of a planned phantom.

    The tumour grows on the half grid and displaces its surroundings; the tissues are then drawn on
    the whole grid. Without a ``head``, the brain lies in fluid. Without a ``tumour`` the brain is
    healthy; a ``mass`` displaces it nevertheless.
    """
    # Distances (mm) and tissues at the nodes of the half grid, before anything is displaced.
    points = template.distance_voxels(frame.template_mm)
    from_brain, under_skin, _ = sample(template.distance, points)
    half_maps = sample(template.tissue, template.tissue_voxels(frame.template_mm), "zeros")
    tissue = (half_maps[0] + half_maps[1] > 0.6) & (half_maps[2] > 0.5)
    # Growth, on grey and white matter, and the mass effect: each node takes what lies at the point
    # that its tissue came from.
    burden, template_mm = np.zeros_like(from_brain), frame.template_mm
    centre, volume_ml = None, 0.0
    if tumour:
        centre, volume_ml = _site(plan, half_maps[1], from_brain, frame.template_mm), plan.volume_ml
        burden = tumour_burden(plan, half_maps[1], tissue, centre, frame.half_mm)
    elif mass:
        low = frame.affine[:3, 3]
        centre, volume_ml = (np.array(mass.centre_mm) - low) / frame.half_mm, mass.volume_ml
    if centre is not None:
        radius_mm = (3 * volume_ml * 1000 / (4 * np.pi)) ** (1 / 3)
        push_mm = plan.mass_effect * radius_mm
        origin = push_outwards(frame, from_brain, np.array(centre), radius_mm, push_mm)
        template_mm, burden = sample(template_mm, origin), sample(burden[None], origin)[0]

    # The brain's tissues on the whole grid, in the brain's box. Template points are interpolated in
    # place of tissues, so that these keep the template's resolution.
    half_box, box = _brain_box(from_brain)
    shape = tuple(s.stop - s.start for s in box)
    at = (slice(None), *half_box)
    inner_mm = resize(template_mm[at], shape)
    maps = sample(template.tissue, template.tissue_voxels(inner_mm), "zeros")
    mm = frame.spacing_mm
    inner = brain_tissues(plan, maps, mm)
    from_ventricles = sample(template.distance[2:], template.distance_voxels(template_mm[at]))
    caps = _caps(plan, from_ventricles[0], template_mm[at], frame.half_mm)
    _add_confounders(plan, inner, resize(caps[None], shape)[0], mm)

    # The tumour takes no fluid: ``solid`` leaves out the ventricles and the wider folds.
    brain = maps[2] > 0.5
    label = np.zeros(shape, np.uint8)
    if tumour:
        solid = ndimage.gaussian_filter(maps[0] + maps[1], 1.0 / mm) > 0.5
        label = tumour_label(plan, resize(burden[half_box][None], shape)[0], brain & solid, mm)
    inner = _place_tumour(inner, label, plan.border_mm / mm, 0.7 / mm)

    if head:
        outer = outer_tissues(plan, frame, from_brain, under_skin)
    else:
        outer = {"csf": np.ones(frame.shape, np.float32)}
    whole_brain, whole_label = np.zeros(frame.shape, np.uint8), np.zeros(frame.shape, np.uint8)
    whole_brain[box], whole_label[box] = brain, label
    return Anatomy(box, outer, inner, maps[2], whole_brain, whole_label)


def _add_confounders(plan: Plan, inner: dict[str, Array], caps: Array, spacing_mm: float) -> None:
    """Turn some white matter into lesions and caps (x, y, z), and some fluid into vessels. This
    changes ``inner`` itself; its fractions still sum to 1."""
    white = inner["white"]
    lesion = np.maximum(_lesions(plan, white, spacing_mm), np.clip(caps, 0, 1) * white)
    lesion = np.minimum(lesion, white)
    vessel = inner["csf"] * (smooth_noise(plan.generator(8), caps.shape, 4 / spacing_mm) > 1.3)
    inner["white"] = inner["white"] - lesion
    inner["csf"] = inner["csf"] - vessel
    inner["lesion"], inner["vessel"] = lesion, vessel
