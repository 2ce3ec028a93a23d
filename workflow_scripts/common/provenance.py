"""What made a result: inputs, parameters, code and package versions."""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workflow_scripts.common.files import write_json

PACKAGES = ("torch", "monai", "lightning", "numpy", "scipy", "nibabel", "SimpleITK", "pandas")


def checksum(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def input_checksums(paths: list[str]) -> dict[str, str]:
    """SHA-256 of each file; those of a directory's files are listed one by one."""
    files: list[Path] = []
    for path in map(Path, paths):
        files += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return {str(file): checksum(file) for file in files}


def write_provenance(snakemake: Any, path: str | Path) -> None:
    """Write beside a result which rule, inputs, parameters, code and versions made it."""
    record = {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards.items()),
        "params": dict(snakemake.params.items()),
        "inputs": input_checksums(list(snakemake.input)),
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "processor": platform.machine(),
    }
    write_json(record, path)


def training_key(snakemake: Any) -> str:
    """What defines a training: a digest of its parameters and of its inputs' contents.

    Checkpoints lie under it, so that a run never goes on from another one's.
    """
    parts = {"params": dict(snakemake.params.items()), "inputs": input_checksums(snakemake.input)}
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
