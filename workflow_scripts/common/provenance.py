"""Provenance of a result: inputs, parameters, code, package versions, machine and time."""

import datetime
import hashlib
import json
import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workflow_scripts.common.files import write_json

PACKAGES = (
    "torch", "monai", "lightning", "numpy", "scipy", "scikit-image", "nibabel", "SimpleITK",
    "nilearn", "deepbet", "pandas",
)  # fmt: skip


# Seconds of earlier attempts at this process's job.
EARLIER: list[float] = []


def count_earlier(seconds: float) -> None:
    """Add the seconds of an earlier attempt to the job's."""
    EARLIER.append(seconds)


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


def machine() -> dict[str, Any]:
    """The machine of a job. Its host name is omitted, since results are passed on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    record = {
        "system": platform.platform(),
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }
    if job := os.environ.get("SLURM_JOB_ID"):
        record["slurm_job"] = job
    # Only scripts that use torch have loaded it.
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        record["gpu"] = torch.cuda.get_device_name()
    return record


def peak_mb() -> int:
    """Peak memory of this process in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))


def package_versions() -> dict[str, str]:
    """Versions of the packages that affect results."""
    return {name: version(name) for name in PACKAGES}


def write_provenance(snakemake: Any, path: str | Path, started: datetime.datetime) -> None:
    """Write the provenance beside a result; ``started`` is the start of the job's last attempt, and
    the seconds are those of all attempts that ended in an orderly way."""
    ended = datetime.datetime.now(datetime.UTC)
    record = {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards.items()),
        "params": dict(snakemake.params.items()),
        "threads": snakemake.threads,
        "inputs": input_checksums(list(snakemake.input)),
        "packages": package_versions(),
        "python": platform.python_version(),
        "machine": machine(),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((ended - started).total_seconds() + sum(EARLIER), 1),
        "peak_mb": peak_mb(),
    }
    write_json(record, path)


def job_key(snakemake: Any, **more: str) -> str:
    """Digest of everything that determines a job's result to the last bit: its parameters, its
    inputs' contents, its threads, the package versions, and ``more``.

    A job's progress is stored under this name, so that no job resumes from another one's.
    """
    parts = {
        "params": dict(snakemake.params.items()),
        "inputs": input_checksums(snakemake.input),
        "threads": snakemake.threads,
        "packages": package_versions(),
        **more,
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
