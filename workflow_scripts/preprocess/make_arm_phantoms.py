"""Rule ``make_arm_phantoms``: phantoms like the prior's, to train a segmentation network on."""

import shutil

from workflow_scripts.common.files import read_json, staged_directory
from workflow_scripts.preprocess.make_phantoms import made_phantoms


def main(snakemake) -> None:
    # Names that no prior's phantom has, so these are other patients of the same kind.
    names = [f"phantom-for-training-{k:04d}" for k in range(1, snakemake.params.patients + 1)]
    with (
        made_phantoms(snakemake, names, read_json(snakemake.input.phantom)) as kept,
        staged_directory(snakemake.output.patients) as folder,
    ):
        for name in names:
            shutil.copytree(kept / name, folder / name)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
