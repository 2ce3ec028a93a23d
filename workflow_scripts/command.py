"""The command ``sbldm``, for those who don't know Snakemake."""

from pathlib import Path

import click

from workflow_scripts.common.files import UserError
from workflow_scripts.common.script import words_of
from workflow_scripts.serve.command import serve
from workflow_scripts.synthesis.command import synthesize

# Every value of a run; a wheel does not have it.
DEFAULTS = Path(__file__).resolve().parents[1] / "config.yaml"
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def main() -> None:
    """Brain-tumour MRI from slice-based latent diffusion models."""


main.add_command(synthesize)
main.add_command(serve)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def info(folder):
    """Say what a model folder can make, and what it learned from."""
    from workflow_scripts.synthesis.describe import describe_model

    try:
        for name, value in describe_model(folder).items():
            click.echo(f"{name:<14} {value}")
    except UserError as error:
        raise click.ClickException(str(error)) from None


def from_command_line(values: tuple[str, ...]) -> dict:
    """What Snakemake makes of KEY=VALUE; raises ``UserError`` where it is none."""
    from snakemake.cli import parse_config

    try:
        return parse_config(values)
    except ValueError as error:
        raise UserError(f"--config {' '.join(values)}: is no KEY=VALUE ({error})") from None


@main.command()
@click.argument("files", nargs=-1, type=FILE)
@click.option("--config", "values", multiple=True, metavar="KEY=VALUE", help="as Snakemake's")
def check(files, values):
    """Check configuration FILES and the patients that they name, before any job runs.

    Each file says what differs from those before it, as after Snakemake's --configfile; --config
    comes last, once for each KEY=VALUE.
    """
    from workflow_scripts.cohort.count import usable_patients
    from workflow_scripts.configuration import read_config

    try:
        if not DEFAULTS.is_file():
            raise UserError(
                "check needs the workflow itself; in its folder: "
                "python -m workflow_scripts.command check FILES"
            )
        config = read_config(DEFAULTS, *files, changes=from_command_line(values))
        count = usable_patients(config.cohort, config.modalities)
    except (UserError, OSError, MemoryError) as error:
        raise click.ClickException(words_of(error)) from None
    splits, arms = len(config.cohort.splits.names), len(config.segmentation.arms)
    if config.cohort.source == "phantom_on_grid":
        arms = 0  # they are there to train a prior on, and nothing else
    click.echo(f"{count} patients, {splits} splits of them, {arms} arms")
    click.echo(
        f"{splits} autoencoders, {splits} denoisers and {splits * arms} segmentation networks are "
        f"to be trained; results go to {config.results}/"
    )


if __name__ == "__main__":
    main()
