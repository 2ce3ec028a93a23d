"""What is decided about a phantom patient before any image is made."""

import zlib
from dataclasses import dataclass

import numpy as np

from workflow_scripts.common.modalities import MODALITIES
from workflow_scripts.phantoms.settings import PhantomSettings

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Plan:
    """The parameters of a phantom patient, drawn from its name and the seed."""

    patient_id: str
    seed: int
    volume_ml: float  # whole tumour
    site: float  # 0 to 1, place of the first tumour cell among all places allowed
    unevenness: float  # of the tissue's permeability: a rounder or a more ragged tumour
    elongation: float  # length of the stretch it starts from, as a share of the tumour's
    core_share: float  # of the whole tumour
    rim_mm: float  # thickness of the enhancing rim
    border_mm: float  # softness of the oedema's edge
    visibility: float  # contrast of the tumour, 1 being obvious
    mass_effect: float  # largest push, as a share of the tumour's radius
    head_scale: Vector  # head to template, along x, y, z
    head_shear: Vector  # xy, xz, yz
    head_rotation_deg: Vector
    ventricle_mm: float  # growth of the ventricles' walls
    csf_mm: float  # under the skull
    bone_mm: float
    fat_mm: float  # under the skin
    lesion_count: int  # white-matter lesions
    caps: float  # brightness of the periventricular caps
    scanner_rotation_deg: Vector  # obliqueness of the voxel axes
    scanner_origin_mm: Vector
    flips: tuple[int, int, int]  # direction of the voxel axes, 1 or -1
    shift_mm: dict[str, Vector]  # of each modality from the reference
    turn_deg: dict[str, Vector]
    slice_mm: dict[str, float]  # thickness of each modality's slices

    def generator(self, *purpose: int) -> np.random.Generator:
        """Random numbers for one purpose, the same whatever was drawn for the others."""
        return np.random.default_rng([self.seed, zlib.crc32(self.patient_id.encode()), *purpose])


def phantom_ids(count: int, on_grid: bool = False) -> list[str]:
    """Names of the phantom patients. Those made on the grid have others than those with a head,
    and are so other patients, whatever the seed: a prior has seen none of them."""
    return [f"phantom-{k:0{5 if on_grid else 4}d}" for k in range(1, count + 1)]


def _vector(rng: np.random.Generator, largest: float) -> Vector:
    return tuple(float(v) for v in rng.uniform(-largest, largest, 3))


def plan_phantom(patient_id: str, seed: int, settings: PhantomSettings) -> Plan:
    """Decide what a phantom patient is like, without any image work."""
    rng = np.random.default_rng([seed, zlib.crc32(patient_id.encode())])
    low, high = np.log(settings.volume_ml)
    size = rng.normal(1.10, 0.03)
    lesions = rng.negative_binomial(1.5, 1.5 / (1.5 + 12 * settings.confounders))
    return Plan(
        patient_id=patient_id,
        seed=seed,
        volume_ml=float(np.exp(rng.uniform(low, high))),
        site=float(rng.uniform()),
        unevenness=float(rng.uniform(0.3, 1.5)),
        elongation=float(rng.uniform(0, 0.9)),
        core_share=float(rng.uniform(*settings.core_share)),
        rim_mm=float(rng.uniform(2.5, 5.0)),
        border_mm=float(rng.uniform(1.0, 2.5)),
        visibility=float(rng.uniform(*settings.visibility)),
        mass_effect=float(rng.uniform(0, settings.mass_effect)),
        head_scale=tuple(float(v) for v in size * (1 + rng.normal(0, 0.02, 3))),
        head_shear=tuple(float(v) for v in rng.normal(0, 0.015, 3)),
        head_rotation_deg=_vector(rng, settings.rotation_deg),
        ventricle_mm=float(rng.uniform(-1.0, 4.0)),
        csf_mm=float(rng.uniform(0.8, 2.5)),
        bone_mm=float(rng.uniform(4.5, 7.5)),
        fat_mm=float(rng.uniform(2.0, 6.0)),
        lesion_count=int(min(lesions, 60)),
        caps=float(min(settings.confounders, 1.0) * rng.beta(1.2, 1.5)),
        scanner_rotation_deg=_vector(rng, 4.0),
        scanner_origin_mm=_vector(rng, 30.0),
        flips=tuple(int(v) for v in rng.choice([-1, 1], 3, p=[0.3, 0.7])),
        shift_mm={m: _vector(rng, settings.displacement_mm) for m in MODALITIES},
        turn_deg={m: _vector(rng, settings.displacement_deg) for m in MODALITIES},
        slice_mm={m: float(rng.uniform(*settings.slice_mm)) for m in MODALITIES},
    )
