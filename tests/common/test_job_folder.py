"""What outlives a kill, and what does not."""

import errno
import logging
from types import SimpleNamespace

import pytest

from workflow_scripts.common.job_folder import DONE, clear_stale_locks, kept_folder, remove_done
from workflow_scripts.common.script import attempt_log


def job(folder, threads=1, **params):
    file = folder / "input.txt"
    file.write_text("patient")
    params = {"checkpoints": str(folder / "checkpoints" / "stage"), **params}
    named = SimpleNamespace(items=params.items, checkpoints=params["checkpoints"])
    return SimpleNamespace(params=named, input=[str(file)], threads=threads)


def test_a_job_finds_what_it_kept_and_no_other_does(tmp_path):
    with pytest.raises(RuntimeError), kept_folder(job(tmp_path, lr=1)) as folder:
        (folder / "batch").touch()
        raise RuntimeError("killed")
    with kept_folder(job(tmp_path, lr=1)) as again:
        assert again == folder
        assert (again / "batch").exists()
    others = (
        kept_folder(job(tmp_path, lr=2)),
        kept_folder(job(tmp_path, lr=1, threads=2)),
        kept_folder(job(tmp_path, lr=1), precision="bf16"),
    )
    for other in others:
        with other as another:
            assert another != folder
            assert not (another / "batch").exists()


def test_the_time_of_earlier_attempts_counts(tmp_path, monkeypatch):
    earlier = []
    monkeypatch.setattr("workflow_scripts.common.job_folder.count_earlier", earlier.append)
    clock = iter([0.0, 40.0, 100.0, 102.0])
    monkeypatch.setattr("workflow_scripts.common.job_folder.time.monotonic", lambda: next(clock))
    with pytest.raises(RuntimeError), kept_folder(job(tmp_path)):
        raise RuntimeError("asked to stop")
    with kept_folder(job(tmp_path)):
        pass
    assert earlier == [0.0, 40.0]


def test_only_what_is_done_is_removed(tmp_path):
    with kept_folder(job(tmp_path, lr=1)) as done:
        pass
    with pytest.raises(RuntimeError), kept_folder(job(tmp_path, lr=2)) as broken:
        raise RuntimeError("killed")
    assert (done / DONE).exists()
    remove_done(tmp_path / "checkpoints")
    assert not done.exists()
    assert broken.exists()


def test_where_there_are_no_locks_a_run_starts_and_leaves_those_of_others(
    tmp_path, monkeypatch, caplog
):
    def without(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("workflow_scripts.common.job_folder.fcntl.flock", without)
    with kept_folder(job(tmp_path)) as folder:
        assert folder.is_dir()
    assert "the file system has no locks (Function not implemented)" in caplog.text
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.input.lock").touch()
    assert clear_stale_locks(tmp_path) is not None
    assert (tmp_path / "locks" / "0.input.lock").exists()


def test_locks_of_a_killed_run_go_and_those_of_a_living_one_stay(tmp_path):
    def lock():
        (tmp_path / "locks").mkdir(exist_ok=True)
        (tmp_path / "locks" / "0.input.lock").touch()
        return tmp_path / "locks" / "0.input.lock"

    left = lock()
    running = clear_stale_locks(tmp_path)
    assert not left.exists()
    taken = lock()
    assert clear_stale_locks(tmp_path) is None
    assert taken.exists()
    running.close()
    with clear_stale_locks(tmp_path):
        assert not taken.exists()


def test_each_attempt_has_a_log_of_its_own(tmp_path):
    log = tmp_path / "rule.log"
    names = []
    for _ in range(3):
        logging.FileHandler(path := attempt_log(log)).close()
        names.append(path.name)
    assert names == ["rule.log.1", "rule.log.2", "rule.log.3"]
