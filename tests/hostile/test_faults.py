"""What goes wrong in mid-run is one line at every stage, and costs nothing once the cause is gone.

The tiny set-up's jobs meet a full disk, a folder that is read-only, an input that is gone, too
little memory, and a loss that is not finite. It takes half an hour; `make test-hostile` runs it.
"""

import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--configfile", str(ROOT / "config" / "tiny.yaml"))
RESULTS = "results-tiny"
pytestmark = pytest.mark.hostile

# Namespaces of one's own: mounts and networks end with the command.
MOUNTS, OFFLINE = ("unshare", "--map-root-user", "--mount"), ("unshare", "--map-root-user", "--net")
# $0 is a folder, "$@" the command.
FULL = """
new=$(mktemp -d) && mount -t tmpfs -o size=64m none "$new" && cp -a "$0/." "$new/" &&
mount --bind "$new" "$0" || exit 99
head -c 64m /dev/zero > "$0/filling" 2> /dev/null
"$@"; status=$?; umount "$0" "$new"; rmdir "$new"; exit $status
"""
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 99; exec "$@"'
# Imported by every Python process. In the job of one rule a file is gone, or memory is short, once
# the job's modules are imported.
PLANT = """
import json, os, resource, sys

planted = json.loads(os.environ["PLANTED"])
if any(word.endswith(f".{planted['rule']}.py") for word in sys.orig_argv):
    import workflow_scripts.common.script as script
    run_script = script.run_script

    def run(main, snakemake):
        def plagued(snakemake):
            if "gone" in planted:
                os.remove(planted["gone"])
            elif "nan" in planted:
                from workflow_scripts.common.training import Training

                # Whether a loss is finite is seen in what is logged.
                losses = Training.log_dict
                Training.log_dict = lambda self, values, **how: losses(
                    self, {name: value * float("nan") for name, value in values.items()}, **how
                )
            else:
                # OpenBLAS takes its buffers at its first use, and ends the process without them.
                import numpy, scipy.linalg
                scipy.linalg.solve(numpy.eye(300) @ numpy.eye(300), numpy.eye(300))
                pages = int(open("/proc/self/statm").read().split()[0])
                limit = pages * resource.getpagesize() + planted["spare"]
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            main(snakemake)
        run_script(plagued, snakemake)

    script.run_script = run
"""


@dataclass(frozen=True)
class Stage:
    """A job of a stage: its rule, the folder that it writes to, the files that it makes there, one
    that it needs, whether it trains a network, and other folders that it writes to. Paths are below
    ``RESULTS``, with the name of a training patient for ``{patient}``."""

    rule: str
    folder: str
    made: tuple[str, ...] = ("*.*",)
    needed: str = ""
    trains: bool = False
    more: tuple[str, ...] = ()


SPLIT = "n2-s0"
STAGES = {
    "cohort": Stage("make_phantom", "cohort/phantoms/{patient}"),
    "preprocess": Stage(
        "preprocess_patient",
        "preprocess/{patient}",
        needed="cohort/phantoms/{patient}/flair.nii.gz",
    ),
    "autoencoder": Stage(
        "train_autoencoder",
        f"autoencoder/{SPLIT}",
        ("model/*", "training.tsv"),
        "preprocess/{patient}/image.npy",
        trains=True,
        more=("checkpoints", "tensorboard"),
    ),
    "diffusion": Stage(
        "train_diffusion",
        f"diffusion/{SPLIT}",
        ("model/*", "*.*"),
        f"autoencoder/{SPLIT}/latents.npy",
        trains=True,
    ),
    "synthesis": Stage(
        "synthesise_patients",
        f"synthesis/{SPLIT}",
        ("attributes.tsv", "patients/*/*", "patients/*", "patients"),
        f"diffusion/{SPLIT}/model/weights.safetensors",
        more=("checkpoints",),
    ),
    "segmentation": Stage(
        "train_segmentation",
        f"segmentation/{SPLIT}/real+classical",
        ("model/*", "training.tsv"),
        "preprocess/{patient}/label.npy",
        trains=True,
    ),
    "evaluation": Stage(
        "evaluate_contrast",
        "evaluation",
        ("contrast.csv",),
        "preprocess/{patient}/foreground.npy",
    ),
}


def permitted(command: tuple[str, ...]) -> bool:
    try:
        return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def checksums(folder: Path) -> dict[str, str]:
    """Of all files but those that tell of the machine and the time."""
    aside = {"logs", "benchmarks", "tensorboard", "provenance", "checkpoints"}
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not aside & set(file.relative_to(folder).parts)
    }


class Run:
    """A copy of a finished run in which one job is to be done again."""

    def __init__(self, snakemake, folder: Path, stage: Stage, patient: str) -> None:
        self.snakemake, self.folder, self.stage = snakemake, folder, stage
        self.results = folder / RESULTS
        self.place = self.results / stage.folder.format(patient=patient)
        self.needed = self.results / stage.needed.format(patient=patient)
        made = [file for pattern in stage.made for file in sorted(self.place.glob(pattern))]
        self.target = next(str(file.relative_to(folder)) for file in made if file.is_file())
        for file in made:
            file.rmdir() if file.is_dir() else file.unlink()
        (folder / "plant").mkdir()
        (folder / "plant" / "sitecustomize.py").write_text(PLANT)

    def go(self, within: tuple[str, ...] = (), **planted):
        """Do the job, with a fault ``planted`` in it."""
        planted = {"rule": self.stage.rule if planted else "none", **planted}
        path = os.pathsep.join(map(str, (self.folder / "plant", ROOT / "terminal")))
        return self.snakemake(
            self.folder, *TINY, "--logger", "stages", "--", self.target,
            within=within, PYTHONPATH=path, PLANTED=json.dumps(planted),
            # Arrays are asked of the system, not taken from what was freed before.
            MALLOC_MMAP_THRESHOLD_="16384",
        )  # fmt: skip

    def faults(self):
        """The output of the job under each fault, with the words that it must hold."""
        # First, since later attempts begin where earlier ones ended, and need less.
        yield "memory", "there is not enough memory", self.go(spare=2**20)
        for folder in (self.place, *(self.results / name for name in self.stage.more)):
            folder.mkdir(exist_ok=True)
            within = (*MOUNTS, "sh", "-c", FULL, str(folder))
            yield f"{folder.name} full", "the disk is full", self.go(within=within)
        within = (*MOUNTS, "sh", "-c", READ_ONLY, str(self.place))
        yield "read-only", "may not be written|the disk is read-only", self.go(within=within)
        if self.stage.needed:
            name, kept = self.needed.name, self.needed.read_bytes()
            status = self.needed.stat()
            yield "gone", re.escape(name), self.go(gone=str(self.needed))
            self.needed.write_bytes(kept)
            os.utime(self.needed, ns=(status.st_atime_ns, status.st_mtime_ns))
        if self.stage.trains:
            yield "NaN", "the loss became NaN or infinite", self.go(nan=True)


def wrong_with(name: str, words: str, rule: str, done: subprocess.CompletedProcess) -> str:
    """What the output of a fault lacks, or has too much; "" where it is as it should be."""
    said = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow")]
    errors = [line for line in said if "Error: " in line]
    right = len(errors) == 1 and re.search(words, errors[0])
    noise = [word for word in ("Traceback", "Logging error", "Exception in") if word in done.stderr]
    if done.returncode and right and not noise:
        return ""
    return f"{name}, exit code {done.returncode}, {noise}:\n" + "\n".join(said[-40:])


@pytest.fixture
def run(request, snakemake, tiny_run, copy_run, tmp_path) -> Run:
    stage = STAGES[request.param]
    splits = pd.read_csv(tiny_run / RESULTS / "cohort" / "splits.tsv", sep="\t")
    patient = splits.loc[splits["role"] == "train", "patient_id"].iloc[0]
    return Run(snakemake, copy_run(tiny_run, tmp_path / "run"), stage, patient)


@pytest.mark.parametrize("run", STAGES, indirect=True)
def test_a_fault_is_one_line_and_costs_nothing_once_it_is_gone(run, tiny_run):
    if not permitted(MOUNTS):
        pytest.skip("mounts are not permitted here (unshare --mount), so no disk can be full")
    wrong = [wrong_with(name, words, run.stage.rule, done) for name, words, done in run.faults()]
    assert not any(wrong), "\n\n".join(filter(None, wrong))
    done = run.go()
    assert done.returncode == 0, done.stderr[-3000:]
    clean = checksums(tiny_run / run.place.relative_to(run.folder))
    assert checksums(run.place) == clean


def test_the_whole_run_needs_no_network(snakemake, tiny_run, tmp_path):
    if not permitted(OFFLINE):
        pytest.skip("networks of one's own are not permitted here (unshare --net)")
    done = snakemake(tmp_path, *TINY, within=OFFLINE)
    assert done.returncode == 0, done.stderr[-3000:]
    assert checksums(tmp_path / RESULTS) == checksums(tiny_run / RESULTS)
