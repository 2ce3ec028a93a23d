"""Phantom patients: heads with brain tumours, simulated from the MNI152 maps of nilearn.

The method is that of synthetic training data (SynthSeg, Billot et al. 2023) with a tumour grown by
a reaction–diffusion model (Swanson et al. 2000). The truth is known for every voxel.

The steps: a plan (``plan.py``), the grid with its deformation from the template
(``deformation.py``), tissues with the tumour (``anatomy.py``, ``tumour.py``), images
(``contrast.py``).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.modalities import reference_modality
from workflow_scripts.phantoms.anatomy import Mass, build_anatomy
from workflow_scripts.phantoms.contrast import ideal_image, scan
from workflow_scripts.phantoms.deformation import build_frame, grid_frame
from workflow_scripts.phantoms.plan import Plan
from workflow_scripts.phantoms.random_fields import move, rotation
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.phantoms.template import load_template


@dataclass(frozen=True)
class Phantom:
    """A patient's whole head with voxels of 1 mm, or a brain in template space.

    ``images`` (X, Y, Z) are int16, by modality. ``label`` (canonical) and ``brain`` (mask), both
    (X, Y, Z), lie in the frame of the reference modality. ``affine`` (4 × 4) takes voxels to mm,
    and is the same for all. ``truth`` has the parameters and transforms that ``truth.json`` holds.
    """

    images: dict[str, NDArray[np.int16]]
    label: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    affine: NDArray[np.float64]
    truth: dict


def displacement(plan: Plan, modality: str, centre_mm: NDArray) -> NDArray[np.float64]:
    """Rigid transform (4 × 4) from scanner mm of ``modality`` to scanner mm of the reference.

    A point of the head that lies at ``m`` in the image of ``modality`` lies at ``displacement @ m``
    in that of the reference. The planned rotation is about ``centre_mm``.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(plan.turn_deg[modality])
    matrix[:3, 3] = centre_mm - matrix[:3, :3] @ centre_mm + np.array(plan.shift_mm[modality])
    return matrix


def make_phantom(plan: Plan, modalities: Sequence[str], settings: PhantomSettings) -> Phantom:
    """The images and the truth of a planned patient, with a whole head. The same plan gives the
    same bytes.

    The reference modality (``reference_modality``) is at rest. The others are scanned after the
    head has moved a little, as in patients.
    """
    template = load_template()
    frame = build_frame(plan, template, settings.deformation_mm, settings.asymmetry)
    anatomy = build_anatomy(plan, frame, template)
    reference = reference_modality(modalities)
    flip = tuple(slice(None, None, int(f)) for f in plan.flips)
    centre = (frame.affine @ [*((np.array(frame.shape) - 1) / 2), 1])[:3]
    images, moved = {}, {}
    for modality in modalities:
        ideal = ideal_image(plan, anatomy, modality, settings, frame.spacing_mm)[flip]
        moved[modality] = np.eye(4)
        if modality != reference:
            moved[modality] = displacement(plan, modality, centre)
            ideal = move(ideal, np.linalg.inv(frame.affine) @ moved[modality] @ frame.affine)
        images[modality] = scan(plan, ideal, modality, settings, frame.spacing_mm)
    truth = {
        "plan": asdict(plan),
        "reference": reference,
        "volume_ml": float(np.count_nonzero(anatomy.label)) / 1000,
        "to_reference": {m: matrix.tolist() for m, matrix in moved.items()},
        "to_template": frame.to_template.tolist(),
    }
    return Phantom(images, anatomy.label[flip], anatomy.brain[flip], frame.affine, truth)


def make_brain(
    plan: Plan,
    modalities: Sequence[str],
    settings: PhantomSettings,
    grid: Grid,
    mass: Mass | None = None,
    tumour: bool = True,
) -> Phantom:
    """A planned patient without skull and scalp, in template space, all modalities at rest.

    It spans the extent of ``grid`` with finer voxels, and takes a tenth of the time of a head.
    Without a ``tumour`` the brain is healthy; a ``mass`` displaces it nevertheless.
    """
    template = load_template()
    frame = grid_frame(plan, template, settings.deformation_mm, settings.asymmetry, grid)
    anatomy = build_anatomy(plan, frame, template, head=False, mass=mass, tumour=tumour)
    images = {}
    for modality in modalities:
        ideal = ideal_image(plan, anatomy, modality, settings, frame.spacing_mm)
        images[modality] = scan(plan, ideal, modality, settings, frame.spacing_mm)
    return Phantom(images, anatomy.label, anatomy.brain, frame.affine, {"plan": asdict(plan)})
