"""The command ``sbldm``, for use without Snakemake."""

import os
from collections.abc import Callable
from pathlib import Path

import click

from workflow_scripts.common.files import UserError
from workflow_scripts.common.script import words_of
from workflow_scripts.serve.serve_command import serve
from workflow_scripts.synthesis.synthesize_command import synthesize

# All values of a run; not part of a wheel.
DEFAULTS = Path(__file__).resolve().parents[1] / "config.yaml"
# Expected hours on CPUs above which a GPU is recommended.
LONG_H = 48
FILE = click.Path(path_type=Path)


@click.group()
def main() -> None:
    """Brain-tumour MRI from slice-based latent diffusion models."""


main.add_command(synthesize)
main.add_command(serve)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def info(folder):
    """Print what a model folder can synthesise, and what it was trained on."""
    from workflow_scripts.synthesis.describe import describe_model

    try:
        for name, value in describe_model(folder).items():
            click.echo(f"{name:<14} {value}")
    except (UserError, OSError, MemoryError) as error:
        raise click.ClickException(words_of(error)) from None


def from_command_line(values: tuple[str, ...], parse: Callable[..., dict]) -> dict:
    """KEY=VALUE as Snakemake's ``parse`` takes it; raises ``UserError`` for anything else."""
    try:
        return parse(values)
    except ValueError as error:
        raise UserError(f"--config {' '.join(values)}: is no KEY=VALUE ({error})") from None


def plan_text(config) -> str:
    """Device, precision, priors, and the expected time and memory of a run."""
    from workflow_scripts import expected
    from workflow_scripts.common.cuda import cuda_problem
    from workflow_scripts.common.job_words import device_words

    cores = os.cpu_count() or 1
    problem = cuda_problem()
    hours = expected.hours(config, cores)
    rule, memory_mb = expected.largest_memory(config)
    time = f"about {hours:.1g} hours" if hours < 1 else f"about {hours:,.0f} hours"
    if problem is None:
        time = f"not measured on a GPU; {time} without"
    elif hours > LONG_H:
        time += "; use a machine with a GPU"
    return (
        f"{device_words(config.diffusion.precision)}{f' ({problem})' if problem else ''}\n"
        f"training starts from: autoencoder {config.autoencoder.prior}, denoiser "
        f"{config.diffusion.prior}\n"
        f"training patients per split: {trained_text(config.cohort.splits)}\n"
        f"expected on {cores} cores: {time} (the demo's rates, by voxels); at most "
        f"{memory_mb / 1000:.1f} GB per job ({rule})"
    )


def trained_text(splits) -> str:
    """The number of training patients of each split, in words."""
    if splits.scheme == "folds":
        return f"all but one of {splits.folds} folds and {splits.validation} for validation"
    sizes = [splits.largest_split[0]] if splits.in_folds else splits.train_sizes
    return f"{', '.join(map(str, sizes))} ({splits.validation} more for validation)"


@main.command()
@click.argument("files", nargs=-1, type=FILE)
@click.option("--config", "values", multiple=True, metavar="KEY=VALUE", help="as Snakemake's")
def check(files, values):
    """Check configuration FILES and the patients that they refer to, before any job runs.

    Each file overrides the ones before it, as with Snakemake's --configfile. --config comes last,
    once for each KEY=VALUE.
    """
    from workflow_scripts.cohort.count import usable_patients
    from workflow_scripts.configuration import read_config

    try:
        if not DEFAULTS.is_file():
            raise UserError(
                "check needs the workflow itself; in its folder: "
                "python -m workflow_scripts.command check FILES"
            )
        from snakemake.cli import parse_config  # not a dependency of a wheel

        config = read_config(DEFAULTS, *files, changes=from_command_line(values, parse_config))
        count = usable_patients(config.cohort, config.modalities)
    except (UserError, OSError, MemoryError) as error:
        raise click.ClickException(words_of(error)) from None
    splits, arms = len(config.cohort.splits.names), len(config.segmentation.arms)
    if config.cohort.source == "phantom_on_grid":
        arms = 0  # these are used to train a prior, and nothing else
    click.echo(f"{count} patients, {splits} splits, {arms} arms")
    if arms:
        click.echo(plan_text(config))
    click.echo(
        f"{splits} autoencoders, {splits} denoisers and {splits * arms} segmentation networks are "
        f"to be trained; results go to {config.results}/"
    )


if __name__ == "__main__":
    main()
