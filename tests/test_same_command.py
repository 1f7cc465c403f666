"""The same command until it is done: real processes, killed and started again with the same arguments."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pneumocli.run_folder import RunFolder
from tests.helpers import processes
from tests.test_interruptions import wait_for_epochs
from tests.training.test_train import assert_same_run

pytestmark = pytest.mark.slow

SETTINGS = ["--image-size", "32", "--batch-size", "8", "--val-fraction", "0.25", "--device", "cpu"]


def argv_of(data: Path, run: Path, *flags: str, epochs: int = 6) -> list[str]:
    return ["train", "--data", str(data), "--run-dir", str(run), *SETTINGS, "--epochs", str(epochs), *flags]


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def workers_of(launcher: subprocess.Popen[bytes], *, apart_from: set[int], log: Path) -> list[int]:
    """Both processes of a training, once torchrun has started them."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert launcher.poll() is None, log.read_text()
        new = [child for child in children_of(launcher.pid) if child not in apart_from]
        if len(new) == 2:
            return new
        time.sleep(0.02)
    raise AssertionError(f"torchrun has not started two processes: {log.read_text()}")


@pytest.fixture(scope="module")
def whole_of_two(phantoms: Path, made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The run of two processes that nothing interrupts: read it, never change it."""

    def fill(run: Path) -> None:
        done = processes.run_team(argv_of(phantoms, run), count=2)
        assert done.returncode == 0, done.stderr

    return made_once("whole-of-two", fill)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of torchrun in /proc")
@pytest.mark.parametrize("named", [True, False], ids=["run-dir", "default-name"])
def test_torchrun_restarts_a_training_until_it_is_done(named: bool, phantoms: Path, whole_of_two: Path, tmp_path: Path):
    """Two processes, one of them killed at two random moments, once before the first epoch is done or soon after."""
    run, log, moments = tmp_path / "runs" / "scratch", tmp_path / "log", random.Random(271828)
    argv = argv_of(phantoms, run) if named else ["train", "--data", str(phantoms), *SETTINGS, "--epochs", "6"]
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    with log.open("wb") as file:
        launcher = subprocess.Popen(
            [*program, "--max-restarts", "2", "-m", "pneumocli", *argv], stdout=file, stderr=file, env=env, cwd=tmp_path
        )
    seen: set[int] = set()
    try:
        for epochs in (0, 2):
            workers = workers_of(launcher, apart_from=seen, log=log)
            seen |= set(workers)
            if epochs:
                _wait_for_rows(run, epochs, launcher, log)
            else:
                time.sleep(moments.uniform(1, 12))
            time.sleep(moments.uniform(0, 0.5))
            assert not (run / "result.json").exists(), "the machine was faster than this test expects"
            os.kill(moments.choice(workers), signal.SIGKILL)
        assert launcher.wait(400) == 0, log.read_text()
    finally:
        launcher.kill()
        launcher.wait()
    assert len(seen) == 4
    assert_same_run(whole_of_two, run)
    assert RunFolder(run).finished
    assert not list(run.glob(".*.part"))
    assert [item.name for item in run.parent.iterdir()] == ["scratch"]


def _wait_for_rows(run: Path, count: int, launcher: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while len(RunFolder(run).history()) < count:
        assert launcher.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


@pytest.mark.long
def test_a_chain_of_jobs_ends_with_the_same_bits(phantoms: Path, tmp_path: Path):
    """As a scheduler with a time limit requeues a job: SIGTERM, and the same command again, whatever state it is in."""
    whole = tmp_path / "whole"
    uninterrupted = processes.run(argv_of(phantoms, whole))
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    run, moments = tmp_path / "run", random.Random(31415)
    job = argv_of(phantoms, run, "--continue")
    for epochs in (None, 1, 3):  # the first job is stopped before its first epoch is done
        process = processes.start(job, stdout=tmp_path / "run.out", stderr=tmp_path / "run.err")
        if epochs is None:
            _wait_for_file(run / "manifest.csv")
        else:
            wait_for_epochs(process, run, epochs)
            time.sleep(moments.uniform(0, 0.3))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143, (tmp_path / "run.err").read_text()
        assert (run / "last.pt").exists() == (epochs is not None), "the machine was faster than this test expects"
    last = processes.run(job)
    assert last.returncode == 0, last.stderr
    assert_same_run(whole, run)
    again = processes.run(job)
    assert again.returncode == 0, again.stderr
    assert f"{run} is finished: nothing is left to do" in again.stderr
    assert "best epoch" in again.stdout
    other = processes.run([*job, "--seed", "5"])
    assert (other.returncode, other.stdout) == (1, "")
    assert f"error: the run {run} has other settings: --seed: found 0, asked for 5\n" in other.stderr


def _wait_for_file(file: Path) -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_that_another_process_trains_is_refused(phantoms: Path, tmp_path: Path):
    run = tmp_path / "run"
    job = argv_of(phantoms, run, "--continue", epochs=40)
    process = processes.start(job, stdout=tmp_path / "run.out", stderr=tmp_path / "run.err")
    try:
        wait_for_epochs(process, run, 1)
        second = processes.run(job)
    finally:
        process.kill()
        process.wait()
    assert second.returncode == 1
    assert f"another process is training into {run}" in second.stderr


def test_several_processes_continue_a_series(phantoms: Path, tmp_path: Path):
    """Each run is a team of its own, in the same processes."""
    argv = argv_of(phantoms, tmp_path / "run", "--seeds", "2", "--continue", epochs=1)
    for _ in range(2):
        done = processes.run_team(argv, count=2)
        assert done.returncode == 0, done.stderr
    assert done.stderr.count("is finished: nothing is left to do") == 2
    assert (tmp_path / "run-seeds.json").is_file()
