"""A patient's file that is replaced while its size and time stay the same is noticed."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("flair", "t1ce", "label", "brain_mask")
COHORT = "cohort={source: table, table: cohort.tsv, label_scheme: brats2023}"
pytestmark = pytest.mark.hostile


def replace_unseen(file: Path) -> None:
    """Other values in a file of the same size and time, as ``cp -p`` leaves it."""
    status, image = file.stat(), nib.load(file)
    values = np.asarray(image.dataobj).copy()
    values[40:60, 40:60, 40:60] += 300
    nib.save(nib.Nifti1Image(values, image.affine, image.header), file.with_name("new.nii"))
    file.with_name("new.nii").replace(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size


def test_only_the_patient_whose_file_is_replaced_is_preprocessed_anew(
    snakemake, phantom_folder, tmp_path
):
    rows = [{"patient_id": name, **{kind: f"{name}_{kind}.nii" for kind in KINDS}} for name in "ab"]
    pd.DataFrame(rows).to_csv(tmp_path / "cohort.tsv", sep="\t", index=False)
    for row in rows:
        for kind in KINDS:
            image = nib.load(phantom_folder / f"{kind}.nii.gz")
            values = np.asarray(image.dataobj).copy()
            values[0, 0, 0] = row["patient_id"] == "b" and kind in KINDS[:2]
            nib.save(nib.Nifti1Image(values, image.affine), tmp_path / row[kind])
    images = {name: f"results-tiny/preprocess/{name}/image.npy" for name in "ab"}
    tiny = ["--configfile", str(ROOT / "config" / "tiny.yaml"), "--config", COHORT]

    def run() -> dict[str, bytes]:
        done = snakemake(tmp_path, *tiny, "--", *images.values())
        assert done.returncode == 0, done.stderr[-3000:]
        return {name: (tmp_path / path).read_bytes() for name, path in images.items()}

    before = run()
    written = (tmp_path / images["b"]).stat().st_mtime_ns
    replace_unseen(tmp_path / "a_flair.nii")
    after = run()
    assert after["a"] != before["a"]
    assert (tmp_path / images["b"]).stat().st_mtime_ns == written
