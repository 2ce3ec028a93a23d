"""Rule ``make_arm_copies``: warped copies of the training patients for a segmentation network.

The denoiser is trained on such copies. A useful generator must help more than they do.
"""

from pathlib import Path

import torch

from workflow_scripts.autoencoder.encode_patients import unchanged, warped_copy
from workflow_scripts.autoencoder.settings import WarpSettings
from workflow_scripts.common.files import staged_directory
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import foreground
from workflow_scripts.common.patients import Patient, save_patient


def main(snakemake) -> None:
    params = snakemake.params
    torch.set_num_threads(snakemake.threads)
    grid, warp = Grid.from_settings(params.grid), WarpSettings.model_validate(params.warp)
    folders = [Path(path).parent for path in snakemake.input.images]
    with staged_directory(snakemake.output.patients) as folder:
        for k in range(params.patients):
            # First the first copy of each patient, then the second ones, and so on.
            copy, number = divmod(k, len(folders))
            patient = Patient(folders[number])
            seed = [params.seed, number, copy + 1]
            warped = warped_copy(unchanged(patient, grid), grid, warp, seed)
            volumes = warped.image, warped.label, foreground(warped.image)
            save_patient(folder / f"copy-{k + 1:04d}", *volumes, grid.affine, params.modalities)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
