"""The local page: who may use it, what it refuses, and what comes of a wish."""

import asyncio
import base64
import gzip
import io
import re
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner

from workflow_scripts.command import main
from workflow_scripts.common.attributes import tumour_attributes
from workflow_scripts.common.files import UserError, read_json
from workflow_scripts.serve import app as app_module
from workflow_scripts.serve import studio as studio_module
from workflow_scripts.serve.app import BODY, make_app
from workflow_scripts.serve.choices import Limits, add_anatomies, names_of
from workflow_scripts.serve.serve_command import listening
from workflow_scripts.serve.studio import Studio
from workflow_scripts.synthesis.anatomies import NoAnatomies, RequestedAnatomies
from workflow_scripts.synthesis.anatomy_folder import Brain
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.requests import complete
from workflow_scripts.synthesis.settings import SamplingSettings

PRIOR = Path(__file__).resolve().parents[2] / "prior"
TOKEN = "a-token"
WISH = {
    "volume_ml": 30,
    "centroid_mm": [25, -20, 20],
    "sphericity": 0.75,
    "seed": 1,
}
ADDRESSES = [
    ("GET", "/"),
    ("GET", "/files/serve.js"),
    ("POST", "/check"),
    ("POST", "/requests"),
    ("GET", "/requests/1"),
    ("GET", "/requests/1/volumes"),
    ("GET", "/requests/1/patient.zip"),
    ("GET", "/nowhere"),
]


@pytest.fixture(scope="module")
def model() -> SynthesisModel:
    return SynthesisModel.load(PRIOR)


@pytest.fixture
def studio(model, tmp_path) -> Studio:
    values = read_json(PRIOR / "sampling.json") | {"precision": "fp32", "sampling_steps": 4}
    limits = Limits((1.5, 146.0), (0.6, 1.0))
    return Studio(model, SamplingSettings.model_validate(values), tmp_path, limits, ["/data/anna"])


@pytest.fixture
def held(monkeypatch) -> threading.Event:
    """Patients are made only once this is set, and then are none."""
    event = threading.Event()

    def fail(*_):
        event.wait(60)
        raise RuntimeError("no patient today")

    monkeypatch.setattr(studio_module, "make_patients", fail)
    return event


def run(studio, visit, token=TOKEN):
    """What ``visit(client)`` returns, with a page that is served for it; ``client`` puts the token
    before each address."""

    async def served():
        app = make_app(studio, PRIOR / "template.nii.gz", TOKEN)
        async with TestClient(TestServer(app)) as client:
            return await visit(Visitor(client, f"/{token}" if token is not None else ""))

    return asyncio.run(served())


class Visitor:
    """A client that puts the same before each address."""

    def __init__(self, client: TestClient, first: str) -> None:
        self.client, self.first = client, first

    def request(self, method: str, address: str, **more):
        return self.client.request(method, self.first + address, **more)

    def get(self, address: str, **more):
        return self.request("GET", address, **more)

    def post(self, address: str, **more):
        return self.request("POST", address, **more)


async def finished(client, number: int) -> dict:
    for _ in range(3000):
        found = await (await client.get(f"/requests/{number}")).json()
        if found["state"] in ("done", "failed"):
            return found
        await asyncio.sleep(0.1)
    raise TimeoutError(found)


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
@pytest.mark.parametrize("token", [None, "another", "é", ".."])
def test_without_the_token_nothing_is_told(studio, method, address, token):
    async def visit(client):
        return (await client.request(method, address, json=WISH)).status

    assert run(studio, visit, token) == 403
    assert not studio.jobs


RAW = [
    (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 403 "),
    (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 40"),
    (f"GET /{TOKEN}/ HTTP/1.1\r\nHost: localhost:many\r\n\r\n".encode(), b" 40"),
    (f"GET /{TOKEN}/ HTTP/1.1\r\nHost: [::1\r\n\r\n".encode(), b" 40"),
    (b"GET /%ff%fe/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 403 "),
    (f"GET /{TOKEN}/requests/{'9' * 5000} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), b" 404 "),
    (b"no request at all\r\n\r\n", b" 400 "),
]


@pytest.mark.parametrize(("content", "status"), RAW)
def test_what_no_browser_sends_is_refused_without_a_traceback(studio, caplog, content, status):
    async def visit(visitor):
        server = visitor.client.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(content)
        first = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        return first

    assert status in run(studio, visit)
    assert "Traceback" not in caplog.text


def test_a_page_of_another_name_is_refused(studio):
    """As of a foreign page whose name was made to lead here."""

    async def visit(client):
        return (await client.get("/", headers={"Host": "evil.example"})).status

    assert run(studio, visit) == 403


def test_the_address_with_the_token_opens_the_page_and_its_files(studio):
    async def visit(client):
        page = await client.get("/")
        names = ("serve.js", "viewer.js", "report.css", "niivue.umd.js")
        files = [(await client.get(f"/files/{name}")).status for name in names]
        return page.status, await page.text(), page.headers["Referrer-Policy"], files

    status, text, policy, files = run(studio, visit)
    assert status == 200
    assert "Request a patient" in text
    assert policy == "no-referrer"
    assert files == [200] * 4


GARBAGE = {
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "nothing": b"",
    "a list": b"[1]",
    "a number": b"3",
    "no volume": b'{"centroid_mm": [0,0,0]}',
    "another key": b'{"volume_ml": 3, "centroid_mm": [0,0,0], "sphericity": 0.7, '
    b'"seed": 0, "path": "/etc/passwd"}',
    "no number": b'{"volume_ml": NaN, "centroid_mm": [0,0,0], "sphericity": 0.7, "seed": 0}',
    "infinity": b'{"volume_ml": 3, "centroid_mm": [Infinity,0,0], "sphericity": 0.7, "seed": 0}',
    "below 0": b'{"volume_ml": -3, "centroid_mm": [0,0,0], "sphericity": 0.7, "seed": 0}',
    "much": b" " * (BODY + 1),
    "deep": b"[" * 5000,
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("address", ["/check", "/requests"])
def test_garbage_is_refused(studio, address, body):
    async def visit(client):
        response = await client.post(address, data=body)
        return response.status, await response.text()

    status, text = run(studio, visit)
    assert 400 <= status < 500, text
    assert "Traceback" not in text
    assert not studio.jobs


@pytest.mark.parametrize(
    "address",
    [
        "/requests/0",
        "/requests/-1",
        "/requests/²",
        "/requests/x/volumes",
        "/requests/9999999999999999999999/patient.zip",
        "/files/..%2fapp.py",
        "/files/app.py",
        "/nowhere",
    ],
)
def test_what_is_not_there_is_not_found(studio, address):
    async def visit(client):
        return (await client.get(address)).status

    assert run(studio, visit) == 404


def test_an_impossible_wish_is_refused_with_the_reason(studio):
    async def visit(client):
        outside = WISH | {"centroid_mm": [300, 0, 0]}
        told = await (await client.post("/check", json=outside)).json()
        fine = await (await client.post("/check", json=WISH)).json()
        response = await client.post("/requests", json=outside)
        return told["reason"], fine["reason"], response.status, await response.text()

    reason, nothing, status, text = run(studio, visit)
    assert "only 0% of the tumour lies in the brain" in reason
    assert nothing is None
    assert status == 400
    assert reason in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"volume_ml": 200}, "volume 200 mL: this model was trained on tumours of 1.5 to 146 mL"),
        ({"sphericity": 0.3}, "sphericity 0.3: this model was trained on tumours of 0.6 to 1;"),
        ({"anatomy": "/etc"}, "anatomy '/etc' is not one of those"),
    ],
)
def test_what_was_never_measured_and_folders_that_were_not_named_are_refused(
    studio, change, reason
):
    async def visit(client):
        checked = await (await client.post("/check", json=WISH | change)).json()
        return checked["reason"], (await client.post("/requests", json=WISH | change)).status

    text, status = run(studio, visit)
    assert text.startswith(reason)
    assert status == 400
    assert not studio.jobs


def test_limits_are_those_of_the_training_tumours():
    limits = Limits.of(PRIOR)
    table = pd.read_csv(PRIOR / "attributes.tsv", sep="\t")
    volumes = table[table["copy"] == 0]["volume_ml"]
    assert limits.volume_ml == pytest.approx((volumes.min(), volumes.max()), abs=0.1)
    assert limits.volume_ml[0] >= volumes.min() and limits.volume_ml[1] <= volumes.max()


def test_brains_of_folders_can_be_chosen_and_are_read_once(model, monkeypatch):
    shape, reads = model.brain.shape, []

    def read(self, folder):
        reads.append(folder)
        tissue = np.zeros((3, *shape), np.float32)
        tissue[0, 20:40, 20:40, 15:30] = 1
        image = np.zeros((2, *shape), np.float32)
        return Brain(image, np.zeros(shape, np.uint8), tissue.any(0), tissue)

    monkeypatch.setattr(RequestedAnatomies, "brain", read)
    anatomies = replace(model.anatomies, read={})
    changed = replace(model, anatomies=anatomies)
    backdrops = add_anatomies(changed, [Path("/data/anna"), Path("/data/ben")])
    assert [title for _, title in names_of(backdrops)] == [
        "anna", "ben", "a new phantom for each seed",
    ]  # fmt: skip
    mask = anatomies.brain_of("/data/ben")
    np.testing.assert_array_equal(mask, backdrops["/data/ben"].brain)
    assert len(reads) == 2


def test_a_model_without_anatomies_refuses_to_be_given_one(model):
    with pytest.raises(UserError, match="--anatomy: this model"):
        add_anatomies(replace(model, anatomies=NoAnatomies()), [Path("/data/anna")])


def test_every_outcome_is_put_into_words():
    script = (Path(app_module.__file__).parent / "page" / "serve.js").read_text()
    block = script[script.index("OUTCOMES = {") : script.index("};", script.index("OUTCOMES = {"))]
    assert set(re.findall(r"^    (\w+):", block, re.MULTILINE)) == {
        "met", "volume", "place", "torn", "holes",
    }  # fmt: skip


def test_a_wish_becomes_a_patient_with_the_measured_tumour_in_the_file(studio, model):
    async def visit(client):
        first, second = [await client.post("/requests", json=WISH | {"seed": s}) for s in (1, 2)]
        assert [first.status, second.status] == [202, 202]
        waits = await (await client.get("/requests/2")).json()
        early = (await client.get("/requests/2/volumes")).status
        found = [await finished(client, number) for number in (1, 2)]
        volumes = await (await client.get("/requests/1/volumes")).json()
        body = await (await client.get("/requests/1/patient.zip")).read()
        return waits, early, found, volumes, body

    waits, early, found, volumes, body = run(studio, visit)
    assert (waits["state"], waits["before"], early) == ("waiting", 1, 409)
    assert [job["state"] for job in found] == ["done", "done"]
    assert [job["progress"] for job in found] == [1, 1]
    assert found[0]["row"] != found[1]["row"]

    archive = zipfile.ZipFile(io.BytesIO(body))
    names = {Path(name).name for name in archive.namelist()}
    assert names == {
        "flair.nii.gz", "t1ce.nii.gz", "label.nii.gz", "brain.nii.gz", "request.json",
        "requests.tsv",
    }  # fmt: skip
    read = {
        name: nib.Nifti1Image.from_bytes(
            gzip.decompress(archive.read(f"synthetic-0001/{name}.nii.gz"))
        )
        for name in ("label", "brain")
    }
    label, brain = (np.asarray(read[name].dataobj) for name in ("label", "brain"))
    measured = tumour_attributes(label, read["label"].affine, brain > 0)
    for name in ("volume_ml", "centroid_x_mm", "sphericity"):
        assert found[0]["row"][f"measured_{name}"] == pytest.approx(measured[name], rel=1e-6)
    shown = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(volumes["label"])))
    np.testing.assert_array_equal(np.asarray(shown.dataobj), label)

    row = pd.read_csv(io.BytesIO(archive.read("synthetic-0001/requests.tsv")), sep="\t")
    again = complete(row, model.generator.scaling, 0)
    assert again["volume_ml"].tolist() == [30]
    assert again["seed"].tolist() == [1]


def test_one_that_fails_says_so_and_the_next_one_is_made(studio, held):
    held.set()

    async def visit(client):
        for _ in range(2):
            await client.post("/requests", json=WISH)
        return [await finished(client, number) for number in (1, 2)]

    found = run(studio, visit)
    assert [job["state"] for job in found] == ["failed", "failed"]
    assert found[1]["reason"] == "no patient today"


def test_only_so_many_wait(studio, held, monkeypatch):
    async def visit(client):
        found = [
            (await client.post("/requests", json=WISH)).status
            for _ in range(studio_module.WAITING + 2)
        ]
        held.set()
        return found

    found = run(studio, visit)
    assert found[: studio_module.WAITING] == [202] * studio_module.WAITING
    assert found[-1] == 429


def test_a_folder_without_a_model_is_refused(tmp_path):
    done = CliRunner().invoke(main, ["serve", "--model", str(tmp_path)])
    assert done.exit_code == 1
    assert "is no model folder" in done.output


def test_a_port_that_is_taken_is_named():
    with listening(0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["serve", "--model", str(PRIOR), "--port", str(port)])
    assert done.exit_code == 1
    assert f"--port {port}" in done.output


def test_other_machines_do_not_reach_it():
    with listening(0) as opened:
        assert opened.getsockname()[0] == "127.0.0.1"
