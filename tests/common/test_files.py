"""Tables keep identifiers as text; outputs are written whole or not at all."""

import pandas as pd
import pytest

from workflow_scripts.common.files import read_table, staged, staged_directory, write_table


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
