"""Commands that are given what they cannot use say so in one line, and end with an error."""

import errno
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from workflow_scripts.command import main
from workflow_scripts.common.prior import EMBEDDED

ROOT = Path(__file__).resolve().parents[2]
LONG = "y" * 300
SYNTHESIZE = ["synthesize", "--model", str(EMBEDDED)]
TUMOUR = ["--volume-ml", "30", "--centroid-mm", "-20,10,30"]


def check(source: str, key: str, value: str) -> list[str]:
    """The command that checks a cohort."""
    cohort = f"cohort={{source: {source}, {key}: {value}, label_scheme: brats2015}}"
    return ["check", "--config", cohort]


BAD = {
    "patients into a device": ([*SYNTHESIZE, *TUMOUR, "--out", "/dev/full"], "/dev/full: is no"),
    "patients below a device": ([*SYNTHESIZE, *TUMOUR, "--out", "/dev/full/x"], "is no folder"),
    "patients below a file": ([*SYNTHESIZE, *TUMOUR, "--out", "empty/x"], "empty is no folder"),
    "patients into a long name": ([*SYNTHESIZE, *TUMOUR, "--out", LONG], "File name too long"),
    "patients here": ([*SYNTHESIZE, *TUMOUR, "--out", "."], "is not empty, or the working folder"),
    "requests that never end": (
        [*SYNTHESIZE, "--out", "new", "--requests", "/dev/zero"], "/dev/zero: is no file"
    ),
    "no requests": ([*SYNTHESIZE, "--out", "new", "--requests", "empty"], "No columns to parse"),
    "a model of nothing": (["info", "empty"], "is a file"),
    "a model that is not there": (["info", "none"], "none: is no model folder"),
    "a model of a long name": (["info", LONG], "File name too long"),
    "a model that is a device": (["info", "/dev/null"], "is no model folder"),
    "a page of no model": (["serve", "--model", "none"], "none: is no model folder"),
    "a page at no port": (["serve", "--model", "none", "--port", "70000"], "70000 is not in the"),
    "an anatomy that is not there": (
        ["serve", "--model", str(EMBEDDED), "--anatomy", "none"], "'none' does not exist"
    ),
    "a configuration without end": (["check", "/dev/zero"], "has more than 10,000,000 bytes"),
    "a configuration that is not there": (["check", "none.yaml"], "none.yaml: No such file"),
    "a configuration that is a folder": (["check", "/"], "Error: /: Is a directory; name a"),
    "a table without end": (
        check("table", "table", "/dev/zero"), "/dev/zero does not exist"
    ),
    "a table that is a folder": (check("table", "table", "/"), "is a folder"),
    "a cohort that is a file": (check("brats", "root", "empty"), "is no folder"),
    "a cohort without cases": (check("brats", "root", "folder"), "no BraTS case"),
    "no value": (["check", "--config", "seed"], "seed: is no KEY=VALUE"),
    "no key": (["check", "--config", "=3"], "is no KEY=VALUE|unknown key"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(arguments) -> str:
    """What a command says that refuses its arguments."""
    answer = CliRunner().invoke(main, arguments)
    assert isinstance(answer.exception, SystemExit), answer.exception
    assert answer.exit_code != 0
    return answer.output


@pytest.mark.parametrize("case", BAD)
def test_what_a_command_cannot_use_is_named(folder, case):
    arguments, words = BAD[case]
    output = refused(arguments)
    assert any(word in output for word in words.split("|")), output
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "folder"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "may not be read or written"),
        (errno.ENOENT, "No usable temporary directory"),
    ],
)
def test_a_page_without_room_for_its_files_is_refused(folder, monkeypatch, number, words):
    def fail(**_):
        raise OSError(number, "No usable temporary directory", "/tmp")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", fail)
    assert words in refused(["serve", "--model", str(EMBEDDED)])
