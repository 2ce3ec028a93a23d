"""nnU-Net's commands, run in their own environment."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from workflow_scripts.common.files import UserError
from workflow_scripts.common.processes import has_gpu

# Number of last lines of a failed command in the error message.
LAST = 5


def command_path(name: str, commands: str | None) -> str:
    """The path of a command: in the folder ``commands``, or on the PATH.

    Raises ``UserError`` if it is missing.
    """
    if path := shutil.which(name, path=commands):
        return path
    where = f"in nnunet.commands, {commands}" if commands else "on the PATH"
    raise UserError(
        f"{name} is not {where}; install nnU-Net in a separate environment, and set the folder of "
        f"its commands: --config 'nnunet={{commands: /path/to/environment/bin}}'"
    )


class NNUNet:
    """nnU-Net's commands with their common folders: data sets in ``raw``, nnU-Net's files in
    ``work``. Their output is appended to ``log``."""

    def __init__(
        self, commands: str | None, raw: Path, work: Path, threads: int, log: Path
    ) -> None:
        self.commands, self.log, self.threads = commands, log, threads
        self.preprocessed, self.results = work / "preprocessed", work / "results"
        # Without the workflow's modules, since the environment is another one.
        self.environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.environment |= {
            "nnUNet_raw": str(raw.resolve()),
            "nnUNet_preprocessed": str(self.preprocessed.resolve()),
            "nnUNet_results": str(self.results.resolve()),
            "nnUNet_n_proc_DA": str(max(1, threads - 1)),
            "nnUNet_def_n_proc": str(threads),
        }
        self.device = "cuda" if has_gpu() else "cpu"

    def run(
        self, command: str, *arguments: object, tell: Callable[[str], None] | None = None
    ) -> None:
        """Run a command; ``tell`` is called with each line of its output.

        Raises ``UserError`` with its last lines if it fails.
        """
        words = [command_path(command, self.commands), *map(str, arguments)]
        last: list[str] = []
        with (
            open(self.log, "a") as log,
            subprocess.Popen(
                words,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            for line in process.stdout or ():
                log.write(line)
                log.flush()
                last = [*last, line.strip()][-LAST:]
                if tell:
                    tell(line)
        if process.returncode:
            raise UserError(
                f"{' '.join(words)} ended with status {process.returncode}: "
                f"{' | '.join(filter(None, last))}; its output is in {self.log}"
            )
