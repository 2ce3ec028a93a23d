"""``sbldm serve``: a page on this machine on which patients are asked for."""

import logging
import secrets
import socket
import tempfile
from pathlib import Path

import click

from workflow_scripts.common.files import UserError
from workflow_scripts.common.script import words_of
from workflow_scripts.synthesis.folder import check_model_folder
from workflow_scripts.synthesis.settings import read_sampling


def listening(port: int) -> socket.socket:
    """A socket that this machine alone reaches; raises ``UserError`` where the port is taken."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
        # Who comes before the networks are loaded waits.
        opened.listen()
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror}; leave it out for any free one") from None
    return opened


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="a run's results/synthesis/<split>/model",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: any free one]")
@click.option(
    "--anatomy",
    "anatomies",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="a brain to choose on the page, beside a new phantom for each seed: a folder with its "
    "images; once for each brain",
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
def serve(model, port, anatomies, threads):
    """Open a page on this machine on which to ask for patients: a brain to click on, sliders for
    the tumour, the patient in a viewer, and its files to download. Ctrl-C ends it, and what was not
    downloaded is gone."""
    logging.basicConfig(level=logging.WARNING)
    try:
        check_model_folder(model)
        opened = listening(port)
        temporary = tempfile.TemporaryDirectory(prefix="sbldm-")
        # Networks take seconds to import: not before all that can be refused without them is.
        import torch
        from aiohttp import web

        from workflow_scripts.serve.app import make_app
        from workflow_scripts.serve.choices import Limits, add_anatomies
        from workflow_scripts.serve.studio import Studio
        from workflow_scripts.synthesis.describe import describe_model
        from workflow_scripts.synthesis.model import SynthesisModel

        torch.set_num_threads(threads)
        loaded = SynthesisModel.load(model)
        backdrops = add_anatomies(loaded, [folder.resolve() for folder in anatomies])
        settings, learned_from = read_sampling(model), describe_model(model)["learned from"]
    except (UserError, OSError, MemoryError) as error:
        raise click.ClickException(words_of(error)) from None
    token = secrets.token_urlsafe(24)
    with temporary as folder:
        studio = Studio(loaded, settings, Path(folder), Limits.of(model), backdrops)
        app = make_app(studio, model / "template.nii.gz", token, backdrops, learned_from)
        click.echo(f"http://127.0.0.1:{opened.getsockname()[1]}/{token}/")
        click.echo("Open this address in a browser of this machine; Ctrl-C ends it.")
        web.run_app(app, sock=opened, print=None, access_log=None)
