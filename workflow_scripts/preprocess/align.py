"""The brain mask of a patient, and the registration of modalities, reference and template."""

import logging
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError
from workflow_scripts.common.geometry import ASK, same_grid
from workflow_scripts.preprocess.raw_patient import RawPatient
from workflow_scripts.preprocess.registration import (
    LEAST_OVERLAP,
    register_rigid,
    register_to_template,
    turned_deg,
)
from workflow_scripts.preprocess.registration_target import load_template
from workflow_scripts.preprocess.resample import resample_mask
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.similarity import Comparison
from workflow_scripts.preprocess.skull_strip import (
    check_brain,
    command_mask,
    deepbet_mask,
    stripped_mask,
)
from workflow_scripts.preprocess.volumes import canonical_volume, to_image

# Overlap of brain and template below which registration may have failed.
DOUBTFUL_OVERLAP = 0.9
# Heads are tilted by up to 30 degrees in scanners. More than twice that suggests a wrong header.
TURNED_DEG = 60.0
# Heads rotate by a few degrees between two scans.
MODALITY_TURNED_DEG = 20.0
# Similarity of a modality and the reference below which they may not fit (docs/numbers.md).
LEAST_SIMILARITY = 2.1
LOOK = "check the patient's picture"


@dataclass(frozen=True)
class Aligned:
    """Transforms of points (mm) from template to reference and from reference to each modality, as
    needed for resampling; the brain mask on the reference's voxels; and its overlap with the
    template's (``registration.agreement``), ``None`` without registration. ``similarity`` is that
    of each other modality and the reference (``Comparison.similarity``). ``warnings`` name problems
    and remedies."""

    to_reference: sitk.Transform
    to_modality: dict[str, sitk.Transform]
    brain: NDArray[np.bool_]
    overlap: float | None
    similarity: dict[str, float | None] = field(default_factory=dict)
    warnings: tuple[tuple[str, str], ...] = ()


def find_brain(
    raw: RawPatient, way: str, row: dict, stripped: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Brain mask on the reference's voxels, by the method of ``preprocess.skull_strip``;
    ``stripped`` is the mask of a volume that is already skull-stripped."""
    volume, affine = raw.images[raw.reference], raw.affines[raw.reference]
    if way == "auto":
        way = "deepbet" if stripped is None else "none"
    logging.info("brain mask: %s, skull-stripped before: %s", way, stripped is not None)
    if way == "none":
        return np.ones(volume.shape, bool) if stripped is None else stripped
    if way == "deepbet":
        mask = deepbet_mask(volume, affine)
    elif way == "given":
        mask = given_mask(row, to_image(volume, affine))
    else:
        mask = command_mask(way, volume, affine)
    check_brain(mask, affine, way)
    return mask


def given_mask(row: dict, target: sitk.Image) -> NDArray[np.bool_]:
    """The brain mask in the cohort's table, on the target's voxels."""
    if not row.get("brain_mask"):
        raise UserError(
            "preprocess.skull_strip: given needs a file in the column brain_mask; name one, or "
            "choose auto"
        )
    mask, affine = canonical_volume(row["brain_mask"], row.get("geometry", ASK))
    return resample_mask(mask > 0, affine, target, sitk.Transform())


def align(raw: RawPatient, settings: PreprocessSettings, row: dict) -> Aligned:
    """Register the modalities to the reference, and the reference to the template.

    Raises ``UserError`` if the brain does not fit the template (``check_overlap``).
    """
    volume, affine = raw.images[raw.reference], raw.affines[raw.reference]
    stripped = stripped_mask(volume, affine)
    brain = find_brain(raw, settings.skull_strip, row, stripped)
    to_modality = register_modalities(raw, settings.coregister, stripped is not None)
    mask = to_image(brain.astype(np.uint8), affine)
    inside = np.where(brain, volume - volume[brain].min(), 0).astype(np.float32)
    template, template_mask = load_template()
    transform, overlap = register_to_template(
        template, template_mask, to_image(inside, affine), mask, settings.template
    )
    warnings = check_overlap(overlap, turned_deg(transform), raw.reference)
    warnings += check_modalities(to_modality, raw.reference)
    comparison = Comparison(to_image(volume, affine), mask)
    similarity = compare_modalities(raw, to_modality, comparison)
    warnings += check_similarity(similarity, raw.reference)
    return Aligned(transform, to_modality, brain, overlap, similarity, tuple(warnings))


def register_modalities(raw: RawPatient, way: str, stripped: bool) -> dict[str, sitk.Transform]:
    """Rigid transforms from points (mm) of the reference to those of each modality, by the way of
    ``preprocess.coregister``; ``stripped`` says whether the volumes are skull-stripped already."""
    volume, affine = raw.images[raw.reference], raw.affines[raw.reference]
    reference = to_image(volume, affine)
    to_modality: dict[str, sitk.Transform] = {}
    for modality, other in raw.images.items():
        aligned = stripped and same_grid(other.shape, raw.affines[modality], volume.shape, affine)
        skip = way == "never" or (way == "auto" and aligned)
        if modality == raw.reference or skip:
            to_modality[modality] = sitk.Euler3DTransform()
        else:
            moving = to_image(other, raw.affines[modality])
            to_modality[modality] = register_rigid(reference, moving)
    return to_modality


def compare_modalities(
    raw: RawPatient, to_modality: dict[str, sitk.Transform], comparison: Comparison
) -> dict[str, float | None]:
    """The similarity of each other modality and the reference, with which all are compared."""
    others = {name: volume for name, volume in raw.images.items() if name != raw.reference}
    return {
        name: comparison.similarity(to_image(volume, raw.affines[name]), to_modality[name])
        for name, volume in others.items()
    }


def check_similarity(similarity: dict[str, float | None], reference: str) -> list[tuple[str, str]]:
    """Log and return warnings, with remedies, for modalities that hardly fit the reference
    (``compare_modalities``): their registration has failed, or they show someone else."""
    warnings = []
    for modality, value in similarity.items():
        if value is None:
            continue
        logging.info("similarity of %s and %s: %.2f", modality, reference, value)
        if value < LEAST_SIMILARITY:
            what = (
                f"{modality}: hardly fits {reference} (similarity {value:.2f}, at least "
                f"{LEAST_SIMILARITY:.2f} is expected); it may be registered wrongly, or be another "
                "patient's"
            )
            warnings.append((what, LOOK))
            logging.warning("%s; %s", what, LOOK)
    return warnings


def check_modalities(
    to_modality: dict[str, sitk.Euler3DTransform], reference: str
) -> list[tuple[str, str]]:
    """Log and return warnings, with remedies, for modalities with a large rotation relative to the
    reference: heads do not rotate so far between two scans, so a header may be wrong."""
    warnings = [
        (f"{modality}: is turned by {angle_deg:.0f} degrees relative to {reference}", LOOK)
        for modality, transform in to_modality.items()
        if (angle_deg := turned_deg(transform)) > MODALITY_TURNED_DEG
    ]
    for warning in warnings:
        logging.warning("%s; %s", *warning)
    return warnings


def check_overlap(overlap: float | None, angle_deg: float, modality: str) -> list[tuple[str, str]]:
    """Log and return warnings, with remedies, if a brain fits the template poorly or the head has a
    large rotation; raise ``UserError`` if it hardly fits at all.

    ``overlap`` is the overlap of the brains, ``None`` without a brain mask; ``angle_deg`` is the
    rotation from the template to the image, in degrees.
    """
    if overlap is None:
        what = f"{modality}: without a brain mask the registration cannot be checked"
        logging.warning("%s; %s", what, LOOK)
        return [(what, LOOK)]
    logging.info("overlap of brain and template: %.3f", overlap)
    if overlap < LEAST_OVERLAP:
        raise UserError(
            f"{modality}: registration to the template failed: brain and template overlap by "
            f"{overlap:.2f}, at least {LEAST_OVERLAP} is required; check the image's orientation "
            "and its brain mask (preprocess.skull_strip), or exclude the patient (cohort.exclude)"
        )
    warnings = []
    if overlap < DOUBTFUL_OVERLAP:
        warnings.append(
            f"{modality}: brain and template overlap by {overlap:.2f} only, {DOUBTFUL_OVERLAP:.2f} "
            "or more is expected"
        )
    if angle_deg > TURNED_DEG:
        warnings.append(
            f"{modality}: the head is turned by {angle_deg:.0f} degrees relative to its header; "
            f"left and right may be wrong too"
        )
    for warning in warnings:
        logging.warning("%s; %s", warning, LOOK)
    return [(warning, LOOK) for warning in warnings]
