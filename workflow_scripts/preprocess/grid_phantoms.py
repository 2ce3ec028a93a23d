"""Phantoms as preprocessed patients: simulated on the grid, without a head or registration."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.modalities import reference_modality
from workflow_scripts.phantoms.anatomy import Mass
from workflow_scripts.phantoms.phantom import make_brain
from workflow_scripts.phantoms.plan import plan_phantom
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.preprocess.align import Aligned
from workflow_scripts.preprocess.raw_patient import RawPatient
from workflow_scripts.preprocess.regrid import on_grid
from workflow_scripts.preprocess.settings import PreprocessSettings


def phantom_on_grid(
    patient_id: str,
    seed: int,
    modalities: list[str],
    grid: Grid,
    phantom: PhantomSettings,
    preprocess: PreprocessSettings,
    mass: Mass | None = None,
    tumour: bool = True,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Normalised images (M, X, Y, Z), label and brain (X, Y, Z) of a phantom, in the form of
    preprocessed patients. The same name and seed give the same patient.

    Without a ``tumour`` the brain is healthy, displaced by a ``mass`` if there is one.
    """
    plan = plan_phantom(patient_id, seed, phantom)
    patient = make_brain(plan, modalities, phantom, grid, mass, tumour)
    images = {m: image.astype(np.float32) for m, image in patient.images.items()}
    reference = reference_modality(modalities)
    affines = dict.fromkeys(modalities, patient.affine)
    raw = RawPatient(images, affines, patient.label, patient.affine, reference, reference)
    at_rest = dict.fromkeys(modalities, sitk.Euler3DTransform())
    return on_grid(
        raw, Aligned(sitk.Euler3DTransform(), at_rest, patient.brain > 0, None), grid, preprocess
    )
