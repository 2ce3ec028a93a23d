"""Tables keep identifiers as text; outputs are written whole or not at all; arrays on disk take
neither memory nor open files."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.common.files import read_table, staged, staged_directory, write_table
from workflow_scripts.common.patients import save_patient

# Every slice of the patients and every row of the array is read; what more memory that took, and
# what files stay open, are told.
READING = """
import os, resource, sys
import numpy as np
from workflow_scripts.autoencoder.slice_batches import SliceBatches
from workflow_scripts.common.stored import StoredRows

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

folder, rows = sys.argv[1:]
batches = SliceBatches([folder] * 200, "whole_tumour", 256, 0.0, None, seed=0)
batches(0)
before = peak()
for step in range(1, 40):
    batches(step)
stored = StoredRows(rows)
total = sum(float(row.sum()) for row in stored)
print(total, peak() - before, len(os.listdir("/proc/self/fd")))
"""


def test_identifiers_and_empty_text_survive(tmp_path):
    table = pd.DataFrame(
        {"patient_id": ["007", "8"], "brain_mask": ["", ""], "volume_ml": [1.5, 2]}
    )
    write_table(table, tmp_path / "t.tsv")
    found = read_table(tmp_path / "t.tsv")
    assert found["patient_id"].tolist() == ["007", "8"]
    assert found["brain_mask"].tolist() == ["", ""]
    assert found["volume_ml"].tolist() == [1.5, 2.0]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    file, folder = tmp_path / "a.txt", tmp_path / "b"
    file.write_text("old")
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(RuntimeError), staged(file) as path:
        path.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), staged_directory(folder) as path:
        (path / "half").touch()
        raise RuntimeError
    assert file.read_text() == "old"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.txt", "b", "old"]


def test_what_a_killed_write_left_is_removed_by_the_next(tmp_path):
    other = tmp_path / ".partial-b.txt-abcdefgh"
    for left in (tmp_path / ".partial-a.txt-abcdefgh", other):
        left.mkdir()
        (left / "half").touch()
    with staged(tmp_path / "a.txt") as path:
        path.write_text("whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, "a.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reading_a_large_cohort_takes_no_memory_and_leaves_no_file_open(tmp_path):
    rng = np.random.default_rng(0)
    image, mask = rng.random((1, 16, 16, 16)), np.ones((16, 16, 16), np.uint8)
    save_patient(tmp_path / "a", image, mask, mask, np.eye(4))
    rows = np.ones((400, 64, 1024), np.float32)  # 105 MB
    np.save(tmp_path / "rows.npy", rows)
    command = [sys.executable, "-c", READING, str(tmp_path / "a"), str(tmp_path / "rows.npy")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    total, megabytes, files = map(float, run.stdout.split())
    assert total == rows.size
    assert megabytes < 20
    assert files < 20
