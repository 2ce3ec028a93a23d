"""Rule ``make_arm_phantoms``: phantoms as the prior learned from, for a segmentation network."""

import shutil

from workflow_scripts.cohort.settings import PhantomSettings
from workflow_scripts.common.files import read_json, staged_directory
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.keep import kept_folder
from workflow_scripts.preprocess.make_phantoms import write_phantoms
from workflow_scripts.preprocess.settings import PreprocessSettings


def main(snakemake) -> None:
    params = snakemake.params
    # Names that no prior's phantom has: other patients of the same kind.
    names = [f"phantom-for-training-{k:04d}" for k in range(1, params.patients + 1)]
    with kept_folder(snakemake) as kept:
        write_phantoms(
            names,
            snakemake.threads,
            folder=kept,
            seed=params.seed,
            modalities=params.modalities,
            grid=Grid.from_settings(params.grid),
            phantom=PhantomSettings.model_validate(read_json(snakemake.input.phantom)),
            preprocess=PreprocessSettings.model_validate(params.preprocess),
        )
        with staged_directory(snakemake.output.patients) as folder:
            for name in names:
                shutil.copytree(kept / name, folder / name)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
