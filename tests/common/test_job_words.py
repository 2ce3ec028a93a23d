"""What the log of a training begins with, and whether a GPU can be used."""

import contextlib
import logging
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import InputFiles

from workflow_scripts.common import cuda, job


@pytest.mark.parametrize(
    ("files", "start"),
    [({"prior": "prior/diffusion/weights.safetensors"}, "prior/diffusion"), ({}, "random weights")],
)
def test_a_training_names_device_precision_start_and_patients(
    monkeypatch, tmp_path, caplog, files, start
):
    monkeypatch.setattr(job, "kept_folder", lambda *_, **__: contextlib.nullcontext(tmp_path))
    monkeypatch.setattr(job, "fit", lambda *_, **__: "losses")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(job.torch.cuda, "is_available", lambda: False)
    snakemake = SimpleNamespace(
        input=InputFiles(fromdict=files),
        params=SimpleNamespace(seed=0, tensorboard=None),
        resources=SimpleNamespace(checkpoint_seconds=1),
        threads=1,
    )
    training = SimpleNamespace(optimiser=SimpleNamespace(precision="fp32"))
    with caplog.at_level(logging.INFO), job.training_job(snakemake, training, None, "8 patients"):
        pass
    assert "device CPU, " in caplog.text and "precision fp32" in caplog.text
    assert f"starts from {start}; learns from 8 patients" in caplog.text
    assert "torch cannot use it" in caplog.text


def test_a_build_for_cpus_is_no_use_to_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(cuda, "has_gpu", lambda: False)
    assert "no NVIDIA GPU" in cuda.cuda_problem()
    monkeypatch.setattr(cuda, "has_gpu", lambda: True)
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(cuda, "find_spec", lambda _: spec)
    (tmp_path / "version.py").write_text("cuda: Optional[str] = None\nhip: Optional[str] = None\n")
    assert "CPU build" in cuda.cuda_problem()
    (tmp_path / "version.py").write_text("cuda: Optional[str] = '13.0'\nhip = None\n")
    assert cuda.cuda_problem() is None
