"""``sbldm serve``: a page on this machine on which patients are asked for."""

import logging
import secrets
import socket
import tempfile
from pathlib import Path

import click
import numpy as np

from workflow_scripts.common.files import UserError
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.synthesis.folder import check_model_folder
from workflow_scripts.synthesis.request_table import PHANTOM
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
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="a brain for all tumours: a folder with its images  [default: a new phantom each]",
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
def serve(model, port, anatomy, threads):
    """Open a page on this machine on which to ask for patients: a brain to click on, sliders for
    the tumour, the patient in a viewer, and its files to download. Ctrl-C ends it, and what was not
    downloaded is gone."""
    logging.basicConfig(level=logging.WARNING)
    try:
        check_model_folder(model)
        opened = listening(port)
        # Networks take seconds to import: not before all that can be refused without them is.
        import torch
        from aiohttp import web

        from workflow_scripts.serve.app import make_app
        from workflow_scripts.serve.brain import in_brain
        from workflow_scripts.serve.studio import Studio
        from workflow_scripts.synthesis.model import SynthesisModel

        torch.set_num_threads(threads)
        loaded, backdrop = SynthesisModel.load(model), None
        if anatomy:
            anatomy = anatomy.resolve()
            loaded, backdrop = in_brain(loaded, anatomy)
        settings = read_sampling(model)
    except UserError as error:
        raise click.ClickException(str(error)) from None
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="sbldm-") as folder:
        template = model / "template.nii.gz"
        if backdrop is not None:
            template = Path(folder) / "brain.nii.gz"
            save_nifti(backdrop, loaded.codec.grid.affine, template, np.float32)
        studio = Studio(loaded, settings, Path(folder), str(anatomy or PHANTOM))
        app = make_app(studio, template, token)
        click.echo(f"http://127.0.0.1:{opened.getsockname()[1]}/{token}/")
        click.echo("Open this address in a browser of this machine; Ctrl-C ends it.")
        web.run_app(app, sock=opened, print=None, access_log=None)
