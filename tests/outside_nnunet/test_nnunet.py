"""Exported patients, as nnU-Net itself reads and learns from them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).resolve().parent
EXPORT = Path(os.environ["EXPORT"]).resolve()
RESULTS = EXPORT.parents[1]
# What a run writes besides; what else it needs is linked to.
WRITTEN = ("benchmarks", "checkpoints", "logs", "nnunet")


@pytest.mark.parametrize("dataset", sorted(p.name for p in (EXPORT / "nnUNet_raw").iterdir()))
def test_its_integrity_check_passes(dataset, capsys):
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    verify_dataset_integrity(str(EXPORT / "nnUNet_raw" / dataset), num_processes=1)
    assert "verify_dataset_integrity Done" in capsys.readouterr().out


@pytest.fixture
def trainer():
    """Name of a trainer of a few steps, which lies among nnU-Net's own while the test runs.

    (Where it looks elsewhere it first imports all that it has, which needs torchvision.)
    """
    from nnunetv2.training.nnUNetTrainer import __path__ as places

    copy = shutil.copy(HERE / "tiny_trainer.py", places[0])
    yield "nnUNetTrainerTiny"
    os.unlink(copy)


def test_the_rules_train_it_and_compare_both_arms(tmp_path, trainer):
    run = tmp_path / "results"
    run.mkdir()
    for part in RESULTS.iterdir():
        if part.name not in WRITTEN:
            (run / part.name).symlink_to(part)
    commands, python = Path(sys.executable).parent, Path(os.environ["PYTHON"]).absolute()
    done = subprocess.run(
        [
            *(python, "-m", "snakemake", "--snakefile", HERE.parents[1] / "Snakefile"),
            *("--cores", "2", "--config", f"nnunet={{commands: {commands}, trainer: {trainer}}}"),
            *("--", "results/nnunet/segmentation.md"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    table = pd.read_csv(run / "nnunet" / "segmentation.csv")
    assert table["arm"].tolist() == ["real+classical", "real+classical+synthetic"]
    scores = pd.read_csv(run / "nnunet" / "scores.csv")
    tested = pd.read_csv(run / "cohort" / "splits.tsv", sep="\t").query("role == 'test'")
    assert set(scores["patient_id"]) == set(tested["patient_id"])
    # After four steps it marks something or other; that it is measured is what counts.
    assert np.isfinite(scores["hd95_mm"]).all()
