"""The archive of a finished run, as the validator of RO-Crates sees it: ``ARCHIVE`` names it.

The validator fetches the context of RO-Crate. Here it gets the copy that ``rocrate`` brings, and
nothing is asked of other machines.
"""

import io
import os
import zipfile
from importlib import resources

import pytest
import requests
from requests.adapters import HTTPAdapter
from rocrate_validator import models, services
from urllib3 import HTTPResponse

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


@pytest.fixture(scope="module")
def crate(tmp_path_factory):
    """The archive, unpacked."""
    folder = tmp_path_factory.mktemp("crate")
    with zipfile.ZipFile(os.environ["ARCHIVE"]) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def local_context(monkeypatch):
    """Answer requests for the context from the copy, refuse all others."""
    copy = resources.files("rocrate").joinpath("data", "ro-crate.jsonld").read_bytes()
    assert CONTEXT.encode() in copy, "tests/outside/requirements.txt: a rocrate with this context"

    def send(self, request, **_):
        if request.url != CONTEXT:
            raise requests.ConnectionError(f"no network in tests: {request.url}")
        headers = {"Content-Type": "application/ld+json"}
        body = HTTPResponse(io.BytesIO(copy), headers, status=200, preload_content=False)
        return self.build_response(request, body)

    monkeypatch.setattr(HTTPAdapter, "send", send)


@pytest.mark.parametrize("profile", ["workflow-run-crate-0.5", "workflow-ro-crate-1.0"])
def test_the_archive_has_all_that_its_profiles_require(crate, local_context, profile, tmp_path):
    settings = services.ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier=profile,
        requirement_severity=models.Severity.REQUIRED,
        cache_path=tmp_path / "cache",
    )
    result = services.validate(settings)
    assert [f"{i.check.identifier}: {i.message}" for i in result.get_issues()] == []
    assert result.passed()
