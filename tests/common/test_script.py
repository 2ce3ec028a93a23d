import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Interrupted while an object is cleared away: Python ignores what is raised there. What a shell
# starts in the background ignores Ctrl-C, hence the handler that Python has otherwise.
INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from workflow_scripts.common.script import run_script

signal.signal(signal.SIGINT, signal.default_int_handler)

class Cleared:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def main(snakemake):
    thing = Cleared()
    del thing
    Path(snakemake.output.table).write_text("a part of it")

output = SimpleNamespace(table="table.tsv", provenance="provenance.json")
run_script(main, SimpleNamespace(log=["job.log"], rule="rule", wildcards={}, output=output))
"""


def test_an_interrupt_is_never_lost(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGINT
    assert not (tmp_path / "table.tsv").exists()


FAILING = """
import {module}
from types import SimpleNamespace
from workflow_scripts.common.script import run_script

def main(snakemake):
    raise {error}

output = SimpleNamespace(table="table.tsv", provenance="provenance.json")
run_script(main, SimpleNamespace(log=["job.log"], rule="rule", wildcards={{}}, output=output))
"""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("OSError(errno.ENOSPC, 'No space left on device', 'a.npy')", "a.npy: the disk is full"),
        ("OSError(errno.ENOSPC, 'No space', 'a', None, 'b.npy')", "b.npy: the disk is full"),
        (
            "OSError(errno.EDQUOT, 'Disk quota exceeded')",
            "a file: the quota of the disk is used up",
        ),
        ("PermissionError(errno.EACCES, 'Permission denied', 'a')", "a: may not be read or"),
        ("OSError(errno.EROFS, 'Read-only file system', 'a')", "a: the disk is read-only"),
        ("MemoryError('Unable to allocate 5 TiB')", "not enough memory.*5 TiB"),
        ("RuntimeError('[enforce fail] err == 0. can\\'t allocate memory')", "not enough memory"),
        ("OSError(errno.ENOMEM, 'Cannot allocate memory')", "not enough memory"),
        ("__import__('zlib').error('Error -4 while decompressing data')", "not enough memory"),
        ("OSError('8000 requested and 512 written')", "a file: the disk is full"),
        ("Exception('I/O error: No space left on device (os error 28)')", "the disk is full"),
        ("RuntimeError('unexpected pos 576 vs 534')", "the disk is full"),
        ("FileNotFoundError(errno.ENOENT, 'No such file or directory', 'a')", "a: is gone, though"),
        ("FileNotFoundError('No such file or directory: a.npz')", "a.npz: is gone, though"),
    ],
)
def test_what_the_machine_refuses_is_one_line(tmp_path, error, words):
    script = FAILING.format(module="errno", error=error)
    command, known = [sys.executable, "-c", script], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=known, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert re.search(f"Error: .*{words}", done.stderr)
    assert "Traceback" not in done.stderr
    log = (tmp_path / "job.log").read_text()
    assert re.search(words, log)
    assert "Traceback" in log


WRITING = """
from types import SimpleNamespace
from workflow_scripts.common.files import staged
from workflow_scripts.common.script import run_script

def main(snakemake):
    with staged("results/table.npy") as path:
        raise {error}

output = SimpleNamespace(table="table.tsv", provenance="provenance.json")
run_script(main, SimpleNamespace(log=["job.log"], rule="rule", wildcards={{}}, output=output))
"""


@pytest.mark.parametrize(
    "error",
    [
        "OSError(28, 'No space')",
        "OSError(28, 'No space', str(path))",
        "Exception('No space left on device')",
    ],
)
def test_what_could_not_be_written_is_named_as_the_user_knows_it(tmp_path, error):
    script = WRITING.format(error=error)
    command, known = [sys.executable, "-c", script], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=known, check=False, capture_output=True, text=True
    )
    assert "rule: Error: results/table.npy: the disk is full" in done.stderr


@pytest.mark.parametrize("target", ["/dev/full", "nowhere/job.log"])
def test_a_log_that_cannot_be_written_is_passed_over(tmp_path, target):
    (tmp_path / "job.log").symlink_to(target)
    script = FAILING.format(module="errno", error="OSError(errno.ENOSPC, 'No space', 'a.npy')")
    command, known = [sys.executable, "-c", script], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=known, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "rule: Error: a.npy: the disk is full; free some space and start again"
    ]


IN_A_THREAD = """
import threading
from types import SimpleNamespace
from workflow_scripts.common.script import run_script

def fail():
    raise KeyError("hidden")

def main(snakemake):
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    raise OSError(28, "No space left on device")

output = SimpleNamespace(table="table.tsv", provenance="provenance.json")
run_script(main, SimpleNamespace(log=["job.log"], rule="rule", wildcards={}, output=output))
"""


def test_the_traceback_of_a_thread_is_in_the_log_alone(tmp_path):
    command, known = [sys.executable, "-c", IN_A_THREAD], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=known, check=False, capture_output=True, text=True
    )
    assert done.stderr == "rule: Error: a file: the disk is full; free some space and start again\n"
    assert "KeyError: 'hidden'" in (tmp_path / "job.log").read_text()


def test_another_error_keeps_its_traceback(tmp_path):
    script = FAILING.format(module="errno", error="KeyError('volume_ml')")
    command, known = [sys.executable, "-c", script], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=known, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
