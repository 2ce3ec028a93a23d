"""What was changed, and which jobs a dry run then wants: exactly those that depend on it."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "results-tiny"

PAGES = {"draw_figures", "write_summary", "write_report"}
COMPARED = {"compare_arms", "summarise_segmentation", "write_summary", "write_report"}
TABLES = {"collect_scores", *COMPARED, *PAGES}
TESTING = {"predict_segmentation", "score_segmentation", *TABLES}
QUALITY = {"evaluate_quality", "evaluate_two_sample", "collect_quality"}
MEMORY = {"evaluate_memory", "collect_memory"}
SEGMENTATION = {"train_segmentation", *TESTING}
PATIENTS = {
    "synthesise_patients",
    "evaluate_adherence",
    "evaluate_contrast",
    *MEMORY,
    *QUALITY,
    *SEGMENTATION,
}
SYNTHESIS = {"synthesise_sweep", *PATIENTS}
DIFFUSION = {"train_diffusion", "export_model", *SYNTHESIS}
ENCODING = {"encode_patients", "draw_requests", "draw_sweep", *DIFFUSION}
RECONSTRUCTION = {"reconstruct_patients", "collect_reconstruction", *MEMORY}
AUTOENCODER = {"train_autoencoder", *RECONSTRUCTION, *ENCODING}
PREPROCESS = {"preprocess_patient", *AUTOENCODER}


def edit(file: str, old: str, new: str):
    """A change of the project's code."""

    def change(project: Path, run: Path) -> list[str]:
        path = project / "workflow_scripts" / file
        text = path.read_text()
        assert old in text, file
        path.write_text(text.replace(old, new, 1))
        return []

    return change


def value(setting: str):
    """A change of the configuration."""
    return lambda project, run: ["--config", setting]


def resources(setting: str):
    """A change of what a job may use."""
    return lambda project, run: ["--set-resources", setting]


def touched(project: Path, run: Path) -> list[str]:
    """Files of all stages become newer, their contents stay."""
    for pattern in ("cohort/phantoms/*/flair.nii.gz", "preprocess/*/*.npy", "*/*/model/*"):
        for file in (run / RESULTS).glob(pattern):
            os.utime(file)
    return []


def replaced(pattern: str, role: str = ""):
    """A result whose content is another one; with a role, the first patient's who has it."""

    def change(project: Path, run: Path) -> list[str]:
        splits = pd.read_csv(run / RESULTS / "cohort" / "splits.tsv", sep="\t")
        names = splits.loc[splits["role"] == role, "patient_id"].tolist() or ["*"]
        file = sorted((run / RESULTS).glob(pattern.format(patient=names[0])))[0]
        content = file.read_bytes()
        file.unlink()  # a link to the file that other tests use
        file.write_bytes(content + b"\0")
        return []

    return change


def together(*changes):
    """Several changes at once."""
    return lambda project, run: [option for change in changes for option in change(project, run)]


TABLE = {
    "files touched": (touched, set()),
    "a comment, a docstring, a line laid out anew": (
        together(
            edit("common/grid.py", "# The centre", "# Centre"),
            edit("diffusion/process.py", '"""The diffusion process', '"""A diffusion process'),
            edit("common/grid.py", "def to_mm(self, voxels", "def to_mm(\n        self, voxels"),
        ),
        set(),
    ),
    "more memory for a job": (resources("train_diffusion:mem_mb=9000"), set()),
    "evaluation.seed_sd": (value("evaluation={seed_sd: 0.05}"), COMPARED),
    "evaluation.opponent": (value("evaluation={opponent: real+classical}"), COMPARED),
    "evaluation.classifier_steps": (
        value("evaluation={classifier_steps: 5}"),
        {"evaluate_two_sample", "collect_quality", "write_summary", "write_report"},
    ),
    "segmentation.lr": (value("segmentation={lr: 0.001}"), SEGMENTATION),
    "segmentation.nsd_tolerance_mm": (
        value("segmentation={nsd_tolerance_mm: 2}"),
        {"score_segmentation", *TABLES},
    ),
    "synthesis.guidance": (value("synthesis={guidance: 2}"), {"export_model", *SYNTHESIS}),
    "synthesis.jitter": (value("synthesis={jitter: 0.1}"), {"draw_requests", *PATIENTS}),
    "synthesis.jitter_mm": (value("synthesis={jitter_mm: 5}"), {"draw_requests", *PATIENTS}),
    "synthesis.shares": (value("synthesis={shares: uniform}"), {"draw_requests", *PATIENTS}),
    "synthesis.contrast_jitter": (value("synthesis={contrast_jitter: 0.1}"), PATIENTS),
    "synthesis.sweep_ml": (
        value("synthesis={sweep_ml: [20, 40]}"),
        {"draw_sweep", "synthesise_sweep", *PAGES},
    ),
    "segmentation.arms, fewer": (value("segmentation={arms: [real+classical]}"), TABLES),
    "diffusion.steps": (value("diffusion={steps: 90}"), DIFFUSION),
    "autoencoder.copies": (value("autoencoder={copies: 4}"), ENCODING),
    "autoencoder.warp": (value("autoencoder={warp: {scale: 0.1}}"), ENCODING),
    "autoencoder.lr": (value("autoencoder={lr: 0.1}"), AUTOENCODER),
    "preprocess.n4": (value("preprocess={n4: true}"), PREPROCESS),
    "code of a table": (
        edit("evaluation/statistics.py", "LEAST_SEEDS = 3", "LEAST_SEEDS = 4"),
        {*COMPARED, *PAGES},
    ),
    "code of the scores": (
        edit("segmentation/score_segmentation.py", "rows = []", "rows = list()"),
        {"score_segmentation", *TABLES},
    ),
    "code of the sampler, imported": (
        edit("diffusion/process.py", "RHO = 7.0", "RHO = 6.0"),
        DIFFUSION,
    ),
    "content of an image": (
        replaced("cohort/phantoms/{patient}/flair.nii.gz", "train"),
        PREPROCESS,
    ),
    "a training patient's corrected label": (
        replaced("preprocess/{patient}/label.npy", "train"),
        AUTOENCODER,
    ),
    "a training patient's brain mask": (
        replaced("preprocess/{patient}/brain.npy", "train"),
        ENCODING,
    ),
    "a training patient's tissue maps": (
        replaced("preprocess/{patient}/tissue.npy", "train"),
        ENCODING,
    ),
    "a training patient's foreground": (
        replaced("preprocess/{patient}/foreground.npy", "train"),
        {"evaluate_contrast", *QUALITY, *SEGMENTATION},
    ),
    "a test patient's corrected label": (
        replaced("preprocess/{patient}/label.npy", "test"),
        {
            "evaluate_contrast",
            *QUALITY,
            "predict_segmentation",
            "score_segmentation",
            *RECONSTRUCTION,
            *TABLES,
        },
    ),
    "a test patient's transform": (
        replaced("preprocess/{patient}/to_template.tfm", "test"),
        TESTING,
    ),
    "a test patient's registration of a modality": (
        replaced("preprocess/{patient}/flair_to_reference.tfm", "test"),
        {"score_segmentation", *TABLES},
    ),
}


def wanted(output: str) -> set[str]:
    """Rules in the table of jobs that a dry run prints."""
    rows = (line.split() for line in output.splitlines())
    rules = {row[0] for row in rows if len(row) == 2 and row[1].isdigit() and row[0][-1] != ":"}
    return rules - {"all", "total"}


# Settings of a rule that another row's belong to as well.
LIKE_OTHERS = {
    "evaluation.opponent",
    "synthesis.jitter_mm",
    "synthesis.shares",
    "synthesis.contrast_jitter",
    "autoencoder.warp",
    "diffusion.steps",
    "preprocess.n4",
}
ROWS = [
    pytest.param(name, marks=pytest.mark.long) if name in LIKE_OTHERS else name for name in TABLE
]


@pytest.mark.parametrize("name", ROWS)
def test_exactly_the_stale_jobs_are_wanted(name, tiny_run, snakemake, copy_run, tmp_path):
    change, stale = TABLE[name]
    run, project = copy_run(tiny_run, tmp_path / "run"), tmp_path / "project"
    left = shutil.ignore_patterns(".*", "results*", "tests", "__pycache__")
    shutil.copytree(ROOT, project, ignore=left)
    options = change(project, run)
    arguments = ["--configfile", str(project / "config" / "tiny.yaml"), "--dry-run", *options]
    done = snakemake(run, *arguments, snakefile=project / "Snakefile")
    assert done.returncode == 0, done.stderr
    assert wanted(done.stdout + done.stderr) == stale
