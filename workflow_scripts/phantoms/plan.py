"""The plan of a phantom patient: all parameters that are drawn before any image is computed."""

import zlib
from dataclasses import dataclass

import numpy as np

from workflow_scripts.common.modalities import MODALITIES
from workflow_scripts.phantoms.settings import PhantomSettings

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Plan:
    """The parameters of a phantom patient, drawn from its name and the seed.

    Lengths are in mm, angles in degrees, volumes in mL. Vectors are along, or about, x, y and z.
    """

    patient_id: str
    seed: int
    volume_ml: float  # whole tumour
    site: float  # 0 to 1: rank of the tumour's first voxel among all that are allowed
    unevenness: float  # sd of the log of the tissue's diffusivity: higher, more ragged tumours
    elongation: float  # half length of the line it starts from, as a share of the tumour's radius
    core_share: float  # volume of the core, as a share of the whole tumour's
    rim_mm: float  # thickness of the enhancing rim
    border_mm: float  # sd of the Gaussian that softens the oedema's edge
    visibility: float  # contrast of the tumour with its surroundings; at 1 it is obvious
    mass_effect: float  # largest push, as a share of the tumour's radius
    head_scale: Vector  # head to template, along x, y, z
    head_shear: Vector  # xy, xz, yz
    head_rotation_deg: Vector
    ventricle_mm: float  # outward shift of the ventricles' walls
    csf_mm: float  # thickness of the fluid under the skull
    bone_mm: float  # thickness of the skull
    fat_mm: float  # thickness of the fat under the skin
    lesion_count: int  # white-matter lesions
    caps: float  # periventricular caps, 0 to 1
    scanner_rotation_deg: Vector  # obliqueness of the voxel axes
    scanner_origin_mm: Vector
    flips: tuple[int, int, int]  # directions of the voxel axes, 1 or -1
    shift_mm: dict[str, Vector]  # of each modality from the reference
    turn_deg: dict[str, Vector]  # the same, as a rotation
    slice_mm: dict[str, float]  # thickness of each modality's slices

    def generator(self, *purpose: int) -> np.random.Generator:
        """A random number generator for one ``purpose``, named by numbers of its own.

        It depends on seed, patient and purpose alone, so that a change in how many numbers one part
        of the simulation draws leaves the other parts as they are.
        """
        return np.random.default_rng([self.seed, zlib.crc32(self.patient_id.encode()), *purpose])


def phantom_ids(count: int, on_grid: bool = False) -> list[str]:
    """Names of ``count`` phantom patients: four digits with a head, five if simulated ``on_grid``.

    A patient follows from its name and the seed. With different names, the phantoms of a cohort are
    never those that a prior was trained on, for any seed.
    """
    return [f"phantom-{k:0{5 if on_grid else 4}d}" for k in range(1, count + 1)]


def _vector(rng: np.random.Generator, largest: float) -> Vector:
    """Three numbers, uniform from ``-largest`` to ``largest``."""
    return tuple(float(v) for v in rng.uniform(-largest, largest, 3))


def plan_phantom(patient_id: str, seed: int, settings: PhantomSettings) -> Plan:
    """Draw the parameters of a phantom patient from its name and the seed.

    It takes no image computation, so a cohort's volumes are known before its images exist. The
    order of the draws is part of the result: a new parameter belongs after all others.
    """
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
