"""Fixtures that several stages use, and what keeps one test from reaching another."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import yaml
from filelock import FileLock

from workflow_scripts.cohort.make_phantom import save_phantom
from workflow_scripts.cohort.settings import CohortSettings
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import save_patient
from workflow_scripts.phantoms.phantom import Phantom, make_phantom
from workflow_scripts.phantoms.plan import Plan, plan_phantom
from workflow_scripts.phantoms.settings import PhantomSettings

ROOT = Path(__file__).resolve().parents[1]
MODALITIES = ["flair", "t1ce"]
# The same bytes are promised on the processor: tests compute there, whatever else a machine has.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
LONGEST_S = 900
# What a user may have set for runs of their own.
FOREIGN = ("SNAKEMAKE_PROFILE", "SNAKEMAKE_OUTPUT_CACHE", "PYTHONPATH")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def pytest_configure():
    """Ctrl-C reaches the tests, and all that they start, also where a shell's background job or a
    ``nohup`` that ignores it started them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def order(item, waiting: set[Path]) -> int:
    """When a test comes: first what makes the tiny run, beside it long tests that need none, then
    the files ``waiting`` for it, then the rest."""
    if item.path.parent.name == "real":
        return 1
    if item.path.parent.name != "workflow":
        return 4
    if item.path.name == "test_end_to_end.py":
        return 0
    return 3 if item.path in waiting else 2


def pytest_collection_modifyitems(items):
    """The tests with whole runs first, since they take longest."""
    waiting = {item.path for item in items if "tiny_run" in item.fixturenames}
    items.sort(key=lambda item: order(item, waiting))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Of several processes one takes a whole folder, whose tests share their fixtures; of the
    folder with whole runs, whose tiny run is made once for all processes, a file. Each stale
    change is a test of its own."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            if file.endswith("test_stale.py"):
                return nodeid
            return file if "/workflow/" in file else file.rpartition("/")[0]

    return ByFolder(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where ``CI`` is set everything is there, so that a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though CI is set: {report.longrepr[-1]}"
    return report


@pytest.fixture(autouse=True)
def own_process_state():
    """Random numbers of its own for each test; signal handlers, threads and environment that it
    changed are put back.

    Lightning, for one, answers an interrupt by ignoring SIGINT from then on, and every process
    that a later test starts would ignore it too.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    environment, folder = dict(os.environ), os.getcwd()
    threads = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    torch.set_num_threads(threads[0])
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads[1])


def run_snakemake(
    folder: Path,
    *arguments: str,
    snakefile: Path = ROOT / "Snakefile",
    within: tuple[str, ...] = (),
    **variables: str,
) -> subprocess.CompletedProcess:
    """Run the workflow with ``folder`` as the working directory, ``within`` a command that starts
    others, and with environment variables.

    Each job has one thread: at this size it starts for longer than it works, and two jobs at a
    time end sooner than one after the other. The time span is Snakemake's own, for which it may
    wait at its end; the profile's is for longer runs.
    """
    clean = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "2",
        "--max-threads", "1", "--max-jobs-per-timespan", "100/1s",
    ]  # fmt: skip
    return subprocess.run(
        [*within, *command, *arguments], env={**clean, **variables}, cwd=folder, timeout=LONGEST_S,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def snakemake():
    """The function that runs the workflow."""
    return run_snakemake


@pytest.fixture(scope="session")
def tiny_run(snakemake, tmp_path_factory, worker_id) -> Path:
    """A folder in which the tiny set-up ran from end to end, once for all test processes. Tests
    read it; what runs again or writes does so in a copy (``copy_run``)."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder, done = shared / "tiny", shared / "tiny.done"
    with FileLock(shared / "tiny.lock"):
        if not done.exists():
            # Whichever process is the first to come makes it, or fails for all.
            folder.mkdir()
            made = snakemake(folder, "--configfile", str(ROOT / "config" / "tiny.yaml"))
            assert made.returncode == 0, made.stderr[-4000:]
            done.touch()
    return folder


@pytest.fixture(scope="session")
def copy_run():
    """The function that copies a finished run: results as hard links, Snakemake's notes as files
    of their own, since it writes them in place."""

    def copy(source: Path, target: Path) -> Path:
        shutil.copytree(source / ".snakemake", target / ".snakemake")
        for results in source.glob("results*"):
            shutil.copytree(results, target / results.name, copy_function=os.link)
        return target

    return copy


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real patients, which are not part of this project."""
    folder = Path(os.environ.get("SBLDM_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real patients are not at {folder}; set SBLDM_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def patients(tmp_path_factory) -> list[Path]:
    """Folders of four small patients: ellipsoid brains with a bright ball for a tumour."""
    grid = Grid((32, 32, 24), (5.0, 5.0, 6.0))
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
    mm = grid.to_mm(voxels)
    folders = []
    for number in range(4):
        rng = np.random.default_rng(number)
        size = np.array([58, 68, 52]) * rng.uniform(0.92, 1.08, 3)
        brain = ((mm - [0, -18, 5]) ** 2 / size**2).sum(-1) < 1
        centre = np.array([0, -18, 5]) + rng.uniform(-22, 22, 3)
        distance = np.linalg.norm(mm - centre, axis=-1) / rng.uniform(12, 22)
        label = np.select([distance < 0.5, distance < 0.7, distance < 1], [1, 3, 2], 0)
        flair = 0.5 * brain + 0.35 * (label > 0)
        t1ce = 0.45 * brain + 0.4 * (label == 3)
        image = np.stack([flair, t1ce]) + rng.normal(0, 0.02, (2, *grid.shape)) * brain
        folder = tmp_path_factory.mktemp("patients") / f"ball-{number}"
        save_patient(folder, image.clip(0, 1), label, brain, grid.affine)
        folders.append(folder)
    return folders


@pytest.fixture(scope="session")
def default_values() -> dict:
    """The values of ``config.yaml``."""
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture(scope="session")
def cohort_values(default_values) -> dict:
    """The ``cohort`` section of ``config.yaml``."""
    return default_values["cohort"]


@pytest.fixture(scope="session")
def phantom_settings(cohort_values) -> PhantomSettings:
    return CohortSettings.model_validate(cohort_values).phantom


@pytest.fixture(scope="session")
def plan(phantom_settings) -> Plan:
    return plan_phantom("phantom-0001", 0, phantom_settings)


@pytest.fixture(scope="session")
def phantom(plan, phantom_settings) -> Phantom:
    return make_phantom(plan, MODALITIES, phantom_settings)


@pytest.fixture(scope="session")
def phantom_folder(phantom, tmp_path_factory) -> Path:
    """The phantom's files."""
    folder = tmp_path_factory.mktemp("phantom") / "phantom-0001"
    save_phantom(phantom, folder)
    return folder
