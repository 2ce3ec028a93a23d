"""Exported patients, as nnU-Net's own check sees them."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ["EXPORT"], "nnUNet_raw").resolve()


@pytest.mark.parametrize("dataset", sorted(path.name for path in ROOT.iterdir()))
def test_its_integrity_check_passes(dataset, capsys):
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    verify_dataset_integrity(str(ROOT / dataset), num_processes=1)
    assert "verify_dataset_integrity Done" in capsys.readouterr().out
