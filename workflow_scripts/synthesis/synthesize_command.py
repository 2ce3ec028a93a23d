"""``sbldm synthesize``: patients from a model folder, without Snakemake."""

import logging
import shutil
from pathlib import Path

import click
import pandas as pd

from workflow_scripts.common.files import (
    UserError,
    read_table,
    staged_directory,
    write_table,
)
from workflow_scripts.common.script import words_of
from workflow_scripts.synthesis.folder import check_model_folder
from workflow_scripts.synthesis.request_table import check_own_requests
from workflow_scripts.synthesis.settings import read_sampling

FOLDER = click.Path(path_type=Path, file_okay=False)


class Point(click.ParamType):
    """Three numbers with commas between them, in millimetres."""

    name = "x,y,z"

    def convert(self, value, param, ctx):
        try:
            x, y, z = (float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"'{value}' is not three numbers such as -20,10,30", param, ctx)
        return x, y, z


def requested_tumours(
    requests: Path | None,
    count: int,
    volume_ml: float | None,
    centroid_mm: tuple[float, float, float] | None,
    sphericity: float | None,
) -> pd.DataFrame:
    """The requests from the command line: a table, or one tumour several times."""
    if requests:
        if any(value is not None for value in (volume_ml, centroid_mm, sphericity)) or count > 1:
            raise UserError("--requests lists all tumours; omit -n and the tumour's options")
        table = read_table(requests)
        check_own_requests(table)
        return table
    if volume_ml is None or centroid_mm is None:
        raise UserError("give --volume-ml and --centroid-mm, or a table with --requests")
    places = {f"centroid_{axis}_mm": mm for axis, mm in zip("xyz", centroid_mm, strict=True)}
    row = {"volume_ml": volume_ml, **places}
    if sphericity is not None:
        row["sphericity"] = sphericity
    return pd.DataFrame([row] * count)


def new_folder(out: Path) -> Path:
    """The output folder, which must be new or empty.

    Raises ``UserError`` otherwise.
    """
    target = out.resolve()
    if target.exists() and not target.is_dir():
        raise UserError(f"{out}: is no folder; name a new folder")
    if target.is_dir() and (any(target.iterdir()) or target == Path.cwd()):
        raise UserError(f"{out}: is not empty, or the working folder; name a new folder")
    above = next(folder for folder in target.parents if folder.exists())
    if not above.is_dir():
        raise UserError(f"{out}: {above} is no folder; name a new folder")
    return target


@click.command()
@click.option("--model", type=FOLDER, required=True, help="a run's results/synthesis/<split>/model")
@click.option("--out", type=FOLDER, required=True, help="new folder for the patients")
@click.option("--volume-ml", type=float, help="whole tumour, millilitres")
@click.option("--centroid-mm", type=Point(), help="its centre in MNI152, such as -20,10,30")
@click.option("--sphericity", type=float, help="1 is a ball  [default: the training patients']")
@click.option(
    "-n", "count", type=click.IntRange(1), default=1, help="number of patients with this tumour"
)
@click.option(
    "--requests",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="a table of requests in place of one tumour; needs volume_ml, centroid_x_mm, _y_mm and "
    "_z_mm",
)
@click.option(
    "--anatomy",
    type=FOLDER,
    help="the brain for the tumour: a folder with its images  [default: a new phantom for each]",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="the same seed gives the same bytes",
)
def synthesize(
    model, out, volume_ml, centroid_mm, sphericity, count, requests, anatomy, seed, threads
):
    """Synthesise patients with the requested tumour: images and label as NIfTI with request.json,
    and attributes.tsv with requested and measured attributes.

    --anatomy is a folder with a brain, either skull-stripped on the model's grid or raw like a
    cohort's patient. Files of the model's modalities are named as in BraTS, or flair.nii.gz and so
    on."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        target = new_folder(out)
        table = requested_tumours(requests, count, volume_ml, centroid_mm, sphericity)
        if anatomy and "anatomy" in table:
            raise UserError("--requests lists the anatomies; omit --anatomy")
        if anatomy:
            table = table.assign(anatomy=str(anatomy.resolve()))
        check_model_folder(model)
        # Networks take seconds to import, so the arguments are checked first.
        import torch

        from workflow_scripts.synthesis.model import SynthesisModel
        from workflow_scripts.synthesis.patient_batches import make_patients, refuse_impossible
        from workflow_scripts.synthesis.requests import complete

        torch.set_num_threads(threads)
        loaded = SynthesisModel.load(model, threads)
        settings = read_sampling(model)
        completed = complete(table, loaded.generator.scaling, seed)
        refuse_impossible(completed, loaded)
        with staged_directory(target) as folder:
            attributes = make_patients(completed, loaded, settings, folder)
            if not (attributes["measured_volume_ml"] > 0).any():
                raise UserError("no draw has a tumour; nothing was written")
            shutil.rmtree(folder / "batches", ignore_errors=True)
            write_table(attributes, folder / "attributes.tsv")
    except (UserError, OSError, MemoryError) as error:
        raise click.ClickException(words_of(error)) from None
    click.echo(f"{(attributes['measured_volume_ml'] > 0).sum()} patients in {out}")
