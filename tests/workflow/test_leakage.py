"""Given the splits, labels of test patients reach no training and no prediction."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from workflow_scripts.common.files import read_table
from workflow_scripts.common.provenance import checksum

TINY = ("--configfile", str(Path(__file__).resolve().parents[2] / "config" / "tiny.yaml"))
# All that is learned, made or predicted, and the images that predictions are made from; not the
# test patients' reconstructions, which are made from their labels.
COMPARED = (
    "autoencoder/*/*.npy", "**/weights.safetensors", "synthesis/**/*.nii.gz",
    "segmentation/**/predictions/**/*.nii.gz", "preprocess/*/image.npy",
)  # fmt: skip


def held_out(results: Path) -> list[str]:
    splits = read_table(results / "cohort" / "splits.tsv")
    return sorted(splits.loc[splits["role"] == "test", "patient_id"])


def replace_label(file: Path, rng: np.random.Generator) -> None:
    """Draw a ball somewhere in the middle of the head in place of a label's tumour."""
    label = nib.load(file)
    shape = np.array(label.shape)
    centre = shape / 2 + rng.uniform(-0.15, 0.15, 3) * shape
    points = np.stack(np.indices(label.shape), axis=-1)
    distance = np.linalg.norm((points - centre) * label.header.get_zooms(), axis=-1)
    ball = (distance < rng.uniform(12, 25)).astype(label.get_data_dtype())
    file.unlink()  # a hard link to the first run's
    nib.save(nib.Nifti1Image(ball, label.affine, label.header), file)


def checksums(results: Path) -> dict[str, str]:
    files = {file for pattern in COMPARED for file in results.glob(pattern)}
    return {str(file.relative_to(results)): checksum(file) for file in files}


@pytest.mark.long
def test_other_labels_of_test_patients_change_nothing_that_is_learned(
    tiny_run, snakemake, copy_run, tmp_path
):
    run = copy_run(tiny_run, tmp_path / "run")
    results = run / "results-tiny"
    before = checksums(results)
    labels = {}
    for number, patient in enumerate(held_out(results)):
        replace_label(
            results / "cohort" / "phantoms" / patient / "label.nii.gz",
            np.random.default_rng(number),
        )
        labels[patient] = (results / "preprocess" / patient / "label.npy").read_bytes()
    # Nothing is taken from the first run but the cohort and its splits.
    for folder in results.iterdir():
        if folder.name != "cohort":
            shutil.rmtree(folder)
    done = snakemake(run, *TINY)
    assert done.returncode == 0, done.stderr[-4000:]
    for patient, label in labels.items():
        assert (results / "preprocess" / patient / "label.npy").read_bytes() != label
    after = checksums(results)
    assert any("predictions" in name for name in before)
    assert sum(name.endswith("weights.safetensors") for name in before) >= 4
    assert after == before
