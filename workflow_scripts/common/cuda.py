"""Whether a GPU can be used here, told without importing torch, which takes seconds."""

import re
from importlib.util import find_spec
from pathlib import Path

from workflow_scripts.common.processes import has_gpu


def cuda_problem() -> str | None:
    """Why no GPU can be used here; ``None`` where one can, as far as files tell."""
    if not has_gpu():
        return "this machine has no NVIDIA GPU, or its driver is not loaded"
    version = Path(find_spec("torch").origin).with_name("version.py").read_text(encoding="utf-8")
    if re.search(r"^cuda\b.*= None$", version, re.MULTILINE):
        return "the installed torch is a build for CPUs; docs/gpu.md says how to install another"
    return None
