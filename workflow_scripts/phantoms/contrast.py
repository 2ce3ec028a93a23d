"""From tissues to MR images: random contrast, bias field, texture, Rician noise."""

import numpy as np
from scipy import ndimage

from workflow_scripts.common.modalities import MODALITIES
from workflow_scripts.phantoms.anatomy import Anatomy
from workflow_scripts.phantoms.plan import Plan
from workflow_scripts.phantoms.random_fields import Array, resize, smooth_noise
from workflow_scripts.phantoms.settings import PhantomSettings

# Mean intensity of each tissue, white matter in T1 being 1. As in SynthSeg (Billot et al. 2023)
# they are drawn anew for each patient, but around what each modality looks like.
MEANS: dict[str, dict[str, float]] = {
    "t1": {
        "csf": 0.28, "grey": 0.70, "white": 1.00, "lesion": 0.85, "vessel": 0.35,
        "bone": 0.12, "marrow": 0.60, "fat": 1.35, "muscle": 0.50,
        "oedema": 0.74, "enhancing": 0.72, "necrosis": 0.48,
    },
    "t1ce": {
        "csf": 0.28, "grey": 0.74, "white": 1.00, "lesion": 0.88, "vessel": 1.35,
        "bone": 0.12, "marrow": 0.65, "fat": 1.35, "muscle": 0.60,
        "oedema": 0.78, "enhancing": 1.60, "necrosis": 0.48,
    },
    "t2": {
        "csf": 1.50, "grey": 0.85, "white": 0.60, "lesion": 1.00, "vessel": 0.50,
        "bone": 0.12, "marrow": 0.55, "fat": 0.95, "muscle": 0.40,
        "oedema": 1.25, "enhancing": 1.05, "necrosis": 1.40,
    },
    "flair": {
        "csf": 0.22, "grey": 0.82, "white": 0.68, "lesion": 1.25, "vessel": 0.35,
        "bone": 0.12, "marrow": 0.45, "fat": 0.85, "muscle": 0.45,
        "oedema": 1.35, "enhancing": 1.15, "necrosis": 0.75,
    },
}  # fmt: skip
TUMOUR = ("oedema", "enhancing", "necrosis")


def tissue_means(plan: Plan, modality: str, spread: float) -> dict[str, float]:
    """Mean intensity of each tissue in one patient's image of a ``modality``, white matter in T1
    being about 1.

    They are log-normal around ``MEANS``; ``spread`` is the standard deviation of the logarithm. The
    planned visibility scales the tumour's contrast with the tissue that it grew in.
    """
    rng = plan.generator(10, MODALITIES.index(modality))
    means = {k: v * float(np.exp(rng.normal(0, spread))) for k, v in MEANS[modality].items()}
    host = 0.4 * means["grey"] + 0.6 * means["white"]
    for name in TUMOUR:
        means[name] = host + plan.visibility * (means[name] - host)
    return means


def _weighted(fractions: dict[str, Array], means: dict[str, float]) -> Array:
    """Sum (X, Y, Z) of the tissues' fractions (X, Y, Z), each times its mean intensity."""
    total = np.zeros_like(next(iter(fractions.values())))
    for name, fraction in fractions.items():
        total += fraction * np.float32(means[name])
    return total


def ideal_image(
    plan: Plan, anatomy: Anatomy, modality: str, settings: PhantomSettings, spacing_mm: float
) -> Array:
    """The image (X, Y, Z) of a ``modality`` before the scanner: mean intensities, partial volume,
    texture, and a blur of 0.3 to 0.6 mm (standard deviation)."""
    means = tissue_means(plan, modality, settings.contrast)
    rng = plan.generator(11, MODALITIES.index(modality))
    image = _weighted(anatomy.outer, means)
    inner = _weighted(anatomy.inner, means)
    image[anatomy.box] += anatomy.inside * (inner - image[anatomy.box])
    coarse = smooth_noise(rng, image.shape, 14 / spacing_mm)
    fine = smooth_noise(rng, image.shape, 2 / spacing_mm)
    image *= 1 + np.float32(settings.texture) * (0.6 * coarse + 0.8 * fine)
    return ndimage.gaussian_filter(image, rng.uniform(0.3, 0.6) / spacing_mm, truncate=2.5)


def scan(
    plan: Plan, image: Array, modality: str, settings: PhantomSettings, spacing_mm: float
) -> np.ndarray:
    """What the scanner stores (X, Y, Z), int16, of an ideal ``image`` (X, Y, Z).

    Slices along z have a Gaussian profile whose full width at half maximum is the planned
    thickness. The bias field is log-normal and smooth. Noise is Rician (Gudbjartsson & Patz 1995):
    ``|A + n|`` of the signal A and complex Gaussian noise n. Its standard deviation is set for
    voxels of 1 mm and falls with the square root of the voxel's volume. The gain, 250 to 600, is
    arbitrary, as on scanners.
    """
    # The full width at half maximum is 2.355 standard deviations. Voxels have a thickness already.
    thick = np.sqrt(max(plan.slice_mm[modality] ** 2 - spacing_mm**2, 0)) / (2.355 * spacing_mm)
    if thick > 0.2:
        image = ndimage.gaussian_filter1d(image, thick, axis=2)
    rng = plan.generator(12, MODALITIES.index(modality))
    # The bias field is drawn at nodes about 8 mm apart, and is smooth over some 80 mm.
    nodes = tuple(max(4, int(n * spacing_mm) // 8) for n in image.shape)
    bias = resize(np.exp(settings.bias * smooth_noise(rng, nodes, 10))[None], image.shape)[0]
    image = image * bias
    sd = np.float32(settings.noise * rng.uniform(0.6, 1.2) / spacing_mm**1.5)
    real = image + sd * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = sd * rng.standard_normal(image.shape, dtype=np.float32)
    gain = np.float32(rng.uniform(250, 600))
    return np.round(np.hypot(real, imaginary) * gain).astype(np.int16)
