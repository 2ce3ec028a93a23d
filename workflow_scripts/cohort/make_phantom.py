"""Rule ``make_phantom``: one phantom patient, a whole head with a brain tumour, and its truth."""

import logging
from pathlib import Path

from workflow_scripts.common.files import write_json
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.phantoms.phantom import Phantom, make_phantom
from workflow_scripts.phantoms.plan import plan_phantom
from workflow_scripts.phantoms.settings import PhantomSettings


def save_phantom(phantom: Phantom, folder: str | Path) -> None:
    """Write ``<modality>.nii.gz``, ``label.nii.gz``, ``brain_mask.nii.gz`` and ``truth.json`` of a
    phantom to a folder."""
    folder = Path(folder)
    for modality, image in phantom.images.items():
        save_nifti(image, phantom.affine, folder / f"{modality}.nii.gz")
    save_nifti(phantom.label, phantom.affine, folder / "label.nii.gz")
    save_nifti(phantom.brain, phantom.affine, folder / "brain_mask.nii.gz")
    write_json(phantom.truth, folder / "truth.json")


def main(snakemake):
    settings = PhantomSettings.model_validate(snakemake.params.settings)
    plan = plan_phantom(snakemake.wildcards.patient, snakemake.params.seed, settings)
    phantom = make_phantom(plan, snakemake.params.modalities, settings)
    save_phantom(phantom, Path(snakemake.output.truth).parent)
    logging.info("tumour of %.1f mL", phantom.truth["volume_ml"])


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
