"""Whether a GPU can be used here, without importing torch, which takes seconds."""

import re
from importlib.util import find_spec
from pathlib import Path

from workflow_scripts.common.processes import has_gpu


def cuda_problem() -> str | None:
    """Why no GPU can be used here; ``None`` if one can, judged by files only."""
    if not has_gpu():
        return "this machine has no NVIDIA GPU, or its driver is not loaded"
    version = Path(find_spec("torch").origin).with_name("version.py").read_text(encoding="utf-8")
    if re.search(r"^cuda\b.*= None$", version, re.MULTILINE):
        return "the installed torch is a CPU build; see docs/gpu.md to install a CUDA build"
    return None
