"""What a phantom looks like: a part of the ``cohort`` section of the configuration."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.common.settings import Section, ordered_pair


class PhantomSettings(Section):
    """What the embedded patients look like. Amounts of 0 switch an effect off."""

    volume_ml: Annotated[
        tuple[float, float],
        ordered_pair(lambda low, high: 1 <= low <= high <= 200, "volumes from 1 to 200 mL"),
    ] = Field(description="range of the whole tumour's volume, log-uniform")
    deformation_mm: float = Field(description="sd of the smooth deformation of MNI152", ge=0, le=8)
    asymmetry: float = Field(
        description="share of the deformation's sd that differs between the hemispheres; 0.71: "
        "independent",
        ge=0,
        le=1,
    )
    rotation_deg: float = Field(
        description="maximum rotation of the head, about each axis", ge=0, le=20
    )
    displacement_mm: float = Field(
        description="maximum shift of a modality from the reference, along each axis", ge=0, le=15
    )
    displacement_deg: float = Field(
        description="maximum rotation of a modality from the reference, about each axis",
        ge=0,
        le=15,
    )
    mass_effect: float = Field(
        description="maximum displacement around the tumour, as a share of its radius",
        ge=0,
        le=0.35,
    )
    visibility: Annotated[
        tuple[float, float],
        ordered_pair(lambda low, high: 0 < low <= high <= 2, "numbers above 0 and up to 2"),
    ] = Field(description="range of the tumour's contrast; 1: obvious")
    core_share: Annotated[
        tuple[float, float],
        ordered_pair(lambda low, high: 0 <= low <= high <= 0.9, "numbers from 0 to 0.9"),
    ] = Field(description="range of the core (enhancing or necrotic), as a share of the tumour")
    confounders: float = Field(
        description="amount of unlabelled white-matter lesions and periventricular caps",
        ge=0,
        le=5,
    )
    contrast: float = Field(
        description="sd of the log of each tissue's intensity between patients", ge=0, le=0.4
    )
    bias: float = Field(description="sd of the log of the bias field", ge=0, le=0.5)
    texture: float = Field(description="sd of the tissue's texture, relative", ge=0, le=0.5)
    noise: float = Field(
        description="sd of the Rician noise, relative to white matter in T1", ge=0, le=0.3
    )
    slice_mm: Annotated[
        tuple[float, float],
        ordered_pair(lambda low, high: 1 <= low <= high <= 8, "numbers from 1 to 8"),
    ] = Field(description="range of the thickness of a modality's slices")
