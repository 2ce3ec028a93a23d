"""The local page for requesting patients: its addresses and access control."""

import asyncio
import base64
import io
import secrets
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import jinja2
import numpy as np
from aiohttp import web
from pydantic import ValidationError

from workflow_scripts.common.files import UserError
from workflow_scripts.common.patients import Patient
from workflow_scripts.report import viewer
from workflow_scripts.serve.choices import Backdrop, names_of, takes_anatomy
from workflow_scripts.serve.studio import Job, Studio, TooManyError, Wish
from workflow_scripts.synthesis.request_table import PHANTOM

PAGE = Path(__file__).parent / "page"
SHARED = Path(viewer.__file__).parent / "page"
FILES = {"serve.js": PAGE, **dict.fromkeys(("report.css", "viewer.js", "niivue.umd.js"), SHARED)}
# Larger than any request (bytes).
BODY = 10_000
# Maximum digits of a request's number.
LONGEST_NUMBER = 9
HOSTS = ("127.0.0.1", "localhost")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(
    studio: Studio,
    template: Path,
    token: str,
    backdrops: dict[str, Backdrop] | None = None,
    learned_from: str = "",
) -> web.Application:
    """The application, with all addresses below the token. ``template`` is the model's,
    ``backdrops`` are the brains that can be chosen in addition, and ``learned_from`` describes the
    training patients."""
    app = web.Application(client_max_size=BODY, middlewares=[guard(token), explain_errors])
    pages = Pages(studio, template, backdrops or {}, learned_from)
    app.add_routes(
        [
            web.get(f"/{token}/", pages.index),
            web.get(f"/{token}/files/{{name}}", pages.file),
            web.post(f"/{token}/check", pages.check),
            web.post(f"/{token}/requests", pages.ask),
            web.get(f"/{token}/requests/{{number}}", pages.state),
            web.get(f"/{token}/requests/{{number}}/volumes", pages.volumes),
            web.get(f"/{token}/requests/{{number}}/patient.zip", pages.download),
        ]
    )
    return app


def guard(token: str):
    """Refuse requests without the token, the first part of each address, and requests with a host
    name other than this machine's, as sent by a foreign page.

    A cookie would be sent to all ports of this machine, whatever listens there.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # "OPTIONS *" has no path, and a name may contain bytes that are not UTF-8.
        path_token = request.path.partition("/")[2].partition("/")[0]
        known = secrets.compare_digest(path_token.encode(errors="replace"), token.encode())
        if not known or _host(request) not in HOSTS:
            raise web.HTTPForbidden(text="open the address that sbldm serve printed\n")
        response = await handler(request)
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return middleware


def _host(request: web.Request) -> str | None:
    """The host name of a request; ``None`` if it is invalid."""
    try:
        return request.url.host
    except ValueError:
        return None


@web.middleware
async def explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer an invalid request with one line that explains the error."""
    try:
        return await handler(request)
    except (UserError, ValidationError) as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from None
    except TooManyError:
        raise web.HTTPTooManyRequests(
            text="too many requests are waiting; try again later\n"
        ) from None


class Pages:
    """The handlers of all addresses."""

    def __init__(
        self, studio: Studio, template: Path, backdrops: dict[str, Backdrop], learned_from: str
    ) -> None:
        self.studio, self.template = studio, template
        self.backdrops, self.learned_from = backdrops, learned_from

    async def index(self, request: web.Request) -> web.Response:
        """The page itself."""
        codec = self.studio.model.codec
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(PAGE), autoescape=True)
        brain = self.studio.model.brain.astype(np.uint8)
        template = base64.b64encode(self.template.read_bytes()).decode()
        anatomies = {
            PHANTOM: {"image": template, "brain": viewer.packed(brain, codec.grid.affine)}
        } | {
            name: {
                "image": viewer.packed(backdrop.image, codec.grid.affine),
                "brain": viewer.packed(backdrop.brain.astype(np.uint8), codec.grid.affine),
            }
            for name, backdrop in self.backdrops.items()
        }
        known = {
            "anatomies": anatomies,
            "limits": {
                "volume_ml": self.studio.limits.volume_ml,
                "sphericity": self.studio.limits.sphericity,
            },
            "modalities": list(codec.modalities),
            "colours": viewer.class_colours(codec.labels),
        }
        text = environment.get_template("serve.html.j2").render(
            known=known,
            anatomies=names_of(self.backdrops) if takes_anatomy(self.studio.model) else [],
            learned_from=self.learned_from,
        )
        return web.Response(text=text, content_type="text/html")

    async def file(self, request: web.Request) -> web.FileResponse:
        """A script or style sheet of the page."""
        name = request.match_info["name"]
        if name not in FILES:
            raise web.HTTPNotFound
        return web.FileResponse(FILES[name] / name)

    async def check(self, request: web.Request) -> web.Response:
        """Why a request is refused: ``reason``, which is null if it is accepted."""
        reason = await asyncio.to_thread(self.studio.refusal, await wish(request))
        return web.json_response({"reason": reason})

    async def ask(self, request: web.Request) -> web.Response:
        """Accept a request; the answer has its ``number``."""
        job = await asyncio.to_thread(self.studio.ask, await wish(request))
        return web.json_response({"number": job.number}, status=202)

    async def state(self, request: web.Request) -> web.Response:
        """The progress of a request."""
        job = self._job(request)
        return web.json_response(
            {
                "name": job.name,
                "state": job.state,
                "reason": job.reason,
                "before": self.studio.before(job),
                "progress": self.studio.progress(job),
                "row": {k: None if v != v else v for k, v in job.row.items()},
            }
        )

    async def volumes(self, request: web.Request) -> web.Response:
        """A patient's volumes for the viewer."""
        codec = self.studio.model.codec
        patient = Patient(self.studio.patient(self._done(request)))
        options = (codec.grid.affine, codec.modalities, codec.labels)
        patient_volumes = await asyncio.to_thread(viewer.packed_volumes, patient, *options)
        return web.json_response(patient_volumes)

    async def download(self, request: web.Request) -> web.Response:
        """A patient's NIfTI files, its record, and its request as a row for the workflow."""
        job = self._done(request)
        body = await asyncio.to_thread(zipped, self.studio.patient(job), job.name)
        disposition = {"Content-Disposition": f'attachment; filename="{job.name}.zip"'}
        return web.Response(body=body, content_type="application/zip", headers=disposition)

    def _job(self, request: web.Request) -> Job:
        number = request.match_info["number"]
        is_number = number.isdecimal() and len(number) <= LONGEST_NUMBER
        job = self.studio.jobs.get(int(number)) if is_number else None
        if job is None:
            raise web.HTTPNotFound(text=f"there is no request {number[:20]}\n")
        return job

    def _done(self, request: web.Request) -> Job:
        job = self._job(request)
        if job.state != "done":
            raise web.HTTPConflict(text=f"request {job.number} is {job.state}\n")
        return job


def zipped(folder: Path, name: str) -> bytes:
    """A zip archive of a patient's files, without the arrays."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for file in sorted(folder.iterdir()):
            if file.suffix != ".npy":
                archive.write(file, f"{name}/{file.name}")
    return body.getvalue()


async def wish(request: web.Request) -> Wish:
    """The requested patient in the body of an HTTP request."""
    return Wish.model_validate_json(await request.read())
