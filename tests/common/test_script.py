import signal
import subprocess
import sys
from pathlib import Path

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
