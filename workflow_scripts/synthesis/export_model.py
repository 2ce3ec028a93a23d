"""Rule ``export_model``: a folder with everything that synthesis needs."""

import shutil
from pathlib import Path

import SimpleITK as sitk

from workflow_scripts.common.attributes import CONDITIONS
from workflow_scripts.common.files import read_table, staged, write_json, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.preprocess.registration_target import load_template
from workflow_scripts.preprocess.resample import resample_image
from workflow_scripts.preprocess.volumes import grid_image
from workflow_scripts.synthesis.folder import write_checksums


def main(snakemake) -> None:
    inputs, outputs = snakemake.input, snakemake.output
    for stage in ("autoencoder", "diffusion"):
        for name in ("weights", "config"):
            with staged(outputs[f"{stage}_{name}"]) as temporary:
                shutil.copyfile(inputs[f"{stage}_{name}"], temporary)
    with staged(outputs.brain) as temporary:
        shutil.copyfile(inputs.brain, temporary)
    # The names of the training patients are removed.
    attributes = read_table(inputs.attributes)[["copy", *CONDITIONS]]
    write_table(attributes, outputs.attributes)
    write_json(dict(snakemake.params.sampling), outputs.sampling)
    write_json(dict(snakemake.params.origin), outputs.origin)
    grid = Grid.from_settings(snakemake.params.grid)
    template = resample_image(load_template()[0], grid_image(grid), sitk.Transform())
    save_nifti(template, grid.affine, Path(outputs.template))
    write_checksums(Path(outputs.checksums).parent)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
