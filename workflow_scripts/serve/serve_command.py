"""``sbldm serve``: a local page for requesting patients."""

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
    """A socket that only this machine can reach; raises ``UserError`` if the port is in use."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
        # Connections before the networks are loaded wait.
        opened.listen()
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror}; omit it to use any free port") from None
    return opened


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="a run's results/synthesis/<split>/model",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: any free port]")
@click.option(
    "--anatomy",
    "anatomies",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="a brain to choose on the page, in addition to a new phantom for each seed: a folder "
    "with its images; may be repeated",
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
def serve(model, port, anatomies, threads):
    """Open a local page for requesting patients: a brain to click on, sliders for the tumour, a
    viewer, and the files to download. Ctrl-C stops it and deletes the patients."""
    logging.basicConfig(level=logging.WARNING)
    try:
        check_model_folder(model)
        opened = listening(port)
        temporary = tempfile.TemporaryDirectory(prefix="sbldm-")
        # Networks take seconds to import, so the arguments are checked first.
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
