"""What Snakemake would do, without doing it."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from workflow_scripts.common import fingerprint as fp
from workflow_scripts.study.cells import Cell
from workflow_scripts.study.run import SETUPS, command_of

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--configfile", str(ROOT / "config" / "tiny.yaml"))


def counted(output: str) -> dict[str, int]:
    """Jobs by rule, from the table that a dry run prints."""
    rows = (line.split() for line in output.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def test_a_fresh_run_plans_every_stage(snakemake, tmp_path):
    done = snakemake(tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    jobs = counted(done.stdout + done.stderr)
    for rule in ("train_autoencoder", "train_diffusion", "synthesise_patients", "write_summary"):
        assert jobs[rule] == 1
    assert jobs["train_segmentation"] == jobs["score_segmentation"] == 4


def test_splits_and_arms_multiply(snakemake, tmp_path):
    change = "cohort={splits: {train_sizes: [2, 4], seeds: [0, 1, 2]}}"
    arms = "segmentation={arms: [real, real+classical]}"
    done = snakemake(tmp_path, "--dry-run", "--config", change, arms)
    assert done.returncode == 0, done.stderr
    jobs = counted(done.stdout + done.stderr)
    assert jobs["train_autoencoder"] == 6
    assert jobs["train_segmentation"] == 12


@pytest.mark.parametrize(
    ("arm", "sources"),
    [
        ("real+classical+tumorcp", set()),
        ("real+classical+synthetic_first", {"patients"}),
        ("real+cutmix+synthetic+implanted", {"patients", "implanted"}),
    ],
)
def test_an_arm_learns_from_all_that_it_names(arm, sources, snakemake, tmp_path):
    done = snakemake(tmp_path, "--dry-run", "--config", f"segmentation={{arms: [{arm}]}}")
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    job = lines[lines.index("rule train_segmentation:") :]
    inputs = next(line for line in job if line.startswith("    input: ")).split(", ")
    assert {Path(file).name for file in inputs if "/synthesis/" in file} == sources


def test_a_typo_is_refused_in_one_line(snakemake, tmp_path):
    done = snakemake(tmp_path, "--dry-run", "--config", "autoencoder={lrr: 0.5}")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "lrr" in line]
    assert lines == [
        "Error: configuration: unknown key autoencoder.lrr; did you mean autoencoder.lr?"
    ]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("results*"))


@pytest.mark.parametrize(
    "target", ["demo", "prior", "prior-brats", "bench", "curves", "sampler", "archive"]
)
def test_make_s_commands_are_what_snakemake_takes(target, snakemake, tmp_path):
    make = ["make", "--dry-run", target]
    said = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = said.replace("\\\n", " ").splitlines()
    _, *arguments = shlex.split(next(line for line in lines if "/bin/snakemake " in line))
    given = [str(ROOT / a) if a.startswith("config/") else a for a in arguments]
    done = snakemake(tmp_path, "--dry-run", *given, PYTHONPATH=str(ROOT / "terminal"))
    assert done.returncode == 0, done.stderr


def test_a_cell_of_the_study_is_what_snakemake_takes(snakemake, tmp_path):
    cell = Cell("phantoms", 5, 3)
    command = command_of(SETUPS["phantoms"], None, cell, ["real+classical+synthetic"], "results")
    given = [str(ROOT / a) if a.startswith("config/") else a for a in command[3:]]
    done = snakemake(tmp_path, "--dry-run", *given, PYTHONPATH=str(ROOT / "terminal"))
    assert done.returncode == 0, done.stderr


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the code whose fingerprints can be taken after a change."""
    shutil.copytree(ROOT / "workflow_scripts", tmp_path / "workflow_scripts")
    monkeypatch.setattr(fp, "ROOT", tmp_path)

    def take(script):
        fp.fingerprint.cache_clear()
        fp._digest_and_imports.cache_clear()
        return fp.fingerprint(script)

    yield tmp_path / "workflow_scripts", take
    fp.fingerprint.cache_clear()
    fp._digest_and_imports.cache_clear()


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("common/grid.py", "0.0, -18.0", "0.0, -17.0", True),
        ("diffusion/process.py", "RHO = 7.0", "RHO = 6.0", True),
        ("diffusion/process.py", '"""The diffusion process', '"""A diffusion process', False),
        ("common/grid.py", "# The centre", "# Centre", False),
        ("common/grid.py", "def to_mm(self, voxels", "def to_mm(\n        self, voxels", False),
        (
            "diffusion/settings.py",
            'description="patients or copies per step"',
            'description=""',
            False,
        ),
        ("diffusion/settings.py", "ge=10, le=100_000", "ge=11, le=100_000", True),
        ("segmentation/train.py", "predict_masks", "predict", False),
        ("evaluation/settings.py", "ge=1,", "ge=2,", False),
    ],
)
def test_code_is_stale_where_it_computes_otherwise(project, file, old, new, stale):
    folder, take = project
    before = take("diffusion/train_diffusion")
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    assert (take("diffusion/train_diffusion") != before) == stale


def test_no_stage_imports_from_downstream():
    stages = ["phantoms", "cohort", "preprocess", "autoencoder", "diffusion", "synthesis", "rivals",
              "segmentation", "evaluation"]  # fmt: skip
    for position, stage in enumerate(stages):
        for file in (ROOT / "workflow_scripts" / stage).glob("*.py"):
            for later in stages[position + 1 :]:
                assert f"workflow_scripts.{later}" not in file.read_text(), file
    for file in (ROOT / "workflow_scripts" / "common").glob("*.py"):
        assert not any(f"workflow_scripts.{s}" in file.read_text() for s in stages), file


def test_without_nnunet_a_run_that_needs_it_ends_before_its_first_job(snakemake, tmp_path):
    options = ("--config", f"nnunet={{commands: {tmp_path}}}")
    done = snakemake(tmp_path, *options, "--", "results/nnunet/segmentation.md")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert f"Error: nnUNetv2_train is not in nnunet.commands, {tmp_path}" in done.stderr
    assert not (tmp_path / "results").exists()
