"""Locks keep a second process out; a share without locks gets a file that names the process instead."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pneumocli.core.errors import DriveLost, PneumoError, RunError
from pneumocli.core.locks import locked, mark_of, waited_for
from tests.helpers import faulty_share

linux = pytest.mark.skipif(sys.platform != "linux", reason="the faults are injected by way of /proc")


def _hold(path: Path, ready, done) -> None:
    with locked(path, "taken"):
        ready.set()
        done.wait(30)


def test_a_lock_keeps_others_out_and_dies_with_its_process(tmp_path: Path):
    path = tmp_path / "lock"
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, ready, done))
    process.start()
    assert ready.wait(30)
    with pytest.raises(RunError, match="in use"), locked(path, "in use"):
        pass
    process.kill()
    process.join()
    with locked(path, "in use") as warning:
        assert warning is None
    assert not mark_of(path).exists()


@linux
@pytest.mark.parametrize("error", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_share_without_locks_gives_a_warning_and_still_keeps_others_out(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "lock"
    faulty_share.install(tmp_path, f"flock:{error}", monkeypatch.setattr)
    with locked(path, "in use") as warning:
        assert warning is not None
        assert "has no locks" in warning
        with pytest.raises(RunError, match="in use"), locked(path, "in use"):
            pass
        assert mark_of(path).exists(), "who was refused must not remove the owner's file"
    assert [item.name for item in tmp_path.iterdir()] == ["lock"]


@linux
def test_what_a_killed_process_left_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "lock"
    faulty_share.install(tmp_path, "flock:ENOLCK", monkeypatch.setattr)
    with locked(path, "in use"):
        own = mark_of(path).read_text()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host, number, start = own.split(" ")
    assert int(number) == os.getpid()
    for left in (f"{host} {gone.pid} {start}", f"{host} {number} {int(start) - 1}", "", "half a li"):
        mark_of(path).write_text(left)
        with locked(path, "in use"):
            assert mark_of(path).read_text() == own
    mark_of(path).write_text(f"another-machine {number} {start}")
    with locked(path, "in use") as warning:
        assert "another-machine did, and did not end in order" in str(warning)


@linux
def test_a_drive_that_is_gone_is_not_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    faulty_share.install(tmp_path, "flock:ESTALE", monkeypatch.setattr)
    with pytest.raises(DriveLost, match="does not answer any more"), locked(tmp_path / "lock", "in use"):
        pass


def _once(path: Path, made: Path, waits: list[int], delay: float) -> None:
    with waited_for(path, lambda: waits.append(1)):
        if not made.exists():
            time.sleep(delay)
            with made.open("a") as file:
                file.write("made\n")


def test_who_comes_second_waits_and_finds_the_work_done(tmp_path: Path):
    path, made, waits = tmp_path / "lock", tmp_path / "made", []
    threads = [threading.Thread(target=_once, args=(path, made, waits, 0.3)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.read_text() == "made\n"
    assert 1 <= len(waits) <= 2
    assert not path.exists()


@linux
def test_without_locks_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    faulty_share.install(tmp_path, "flock:ENOLCK", monkeypatch.setattr)
    waits: list[int] = []
    with waited_for(tmp_path / "lock", lambda: waits.append(1)), waited_for(tmp_path / "lock", lambda: waits.append(1)):
        pass
    assert waits == []
    assert not (tmp_path / "lock").exists()


def test_a_lock_file_that_cannot_be_made_is_reported(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(PneumoError, match="a file stands where"), waited_for(tmp_path / "file" / "lock", lambda: None):
        pass
