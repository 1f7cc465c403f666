"""Locks keep a second process out; a share without locks gets a file that names the process instead."""

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pneumocli.core import locks
from pneumocli.core.errors import DriveLost, RunError
from pneumocli.core.locks import locked, mark_of
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
    monkeypatch.setattr(locks, "_SILENT_SECONDS", 0.1)
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
def test_a_share_without_locks_keeps_out_other_machines_whose_mark_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "lock"
    faulty_share.install(tmp_path, "flock:ENOLCK", monkeypatch.setattr)
    monkeypatch.setattr(locks, "_RENEW_SECONDS", 0.02)
    monkeypatch.setattr(locks, "_SILENT_SECONDS", 0.5)
    with locked(path, "in use"):
        monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
        with pytest.raises(RunError, match="in use"), locked(path, "in use"):
            pass
        assert mark_of(path).exists()


def _count(path: Path, fault: str | None) -> None:
    if fault is not None:
        faulty_share.install(path.parent, fault)
    counter = path.with_name("counter")
    for _ in range(20):
        with locked(path, "in use", waiting=lambda _: None):
            number = int(counter.read_text())
            time.sleep(0.001)
            counter.write_text(str(number + 1))


@pytest.mark.slow  # real processes
@linux
@pytest.mark.parametrize("fault", [None, "flock:ENOLCK"])
def test_processes_that_wait_for_each_other_never_meet(
    fault: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(tmp_path / "lock", fault)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "counter").read_text() == "60"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["counter", "lock"]


@linux
def test_a_drive_that_is_gone_is_not_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    faulty_share.install(tmp_path, "flock:ESTALE", monkeypatch.setattr)
    with pytest.raises(DriveLost, match="does not answer any more"), locked(tmp_path / "lock", "in use"):
        pass
