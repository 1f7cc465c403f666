"""Real processes, really stopped: SIGKILL, SIGTERM, Ctrl-C, and the run that comes after."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pneumocli.run_folder import RunFolder
from tests.conftest import obey_permissions
from tests.helpers import processes
from tests.helpers.processes import Process
from tests.training.test_train import assert_same_run

pytestmark = pytest.mark.slow

SMALL = ["--image-size", "32", "--batch-size", "16", "--val-fraction", "0.25", "--device", "cpu"]
SETTINGS = [*SMALL, "--epochs", "3"]
LONG_EPOCHS = ["--image-size", "224", *SMALL[2:], "--epochs", "2"]
AT_EVERY_STEP = ["--checkpoint-minutes", "0.0001"]


def command(*argv: str) -> list[str]:
    return [sys.executable, "-m", "pneumocli", *argv]


def started(data: Path, run: Path, *flags: str, settings: Sequence[str] = SETTINGS) -> Process:
    """A training as a process; its output goes into files beside the run."""
    argv = ["train", "--data", str(data), "--run-dir", str(run), *settings, *flags]
    return processes.start(argv, stdout=out_of(run), stderr=err_of(run))


def out_of(run: Path) -> Path:
    return run.with_name(f"{run.name}.out")


def err_of(run: Path) -> Path:
    return run.with_name(f"{run.name}.err")


def wait_for_epochs(process: Process, run: Path, count: int) -> None:
    """Waits until ``history.csv`` has ``count`` rows."""
    history = run / "history.csv"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, err_of(run).read_text()
        if history.is_file() and len(history.read_text().splitlines()) > count:
            return
        time.sleep(0.01)
    process.kill()
    process.wait()
    raise AssertionError(f"no {count} epochs in four minutes: {err_of(run).read_text()}")


def killed(data: Path, run: Path, *, after: int) -> Path:
    """A training that was killed after so many epochs."""
    process = started(data, run)
    wait_for_epochs(process, run, after)
    process.kill()
    process.wait()
    return run


def resumed(run: Path) -> subprocess.CompletedProcess[str]:
    done = processes.run(["train", "--resume", run])
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def whole(phantoms: Path, made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The run that nothing interrupts: read it, never change it."""

    def fill(run: Path) -> None:
        assert started(phantoms, run).wait(300) == 0, err_of(run).read_text()

    return made_once("whole", fill)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_killed_run_resumes_to_the_same_bits(epochs: int, phantoms: Path, whole: Path, tmp_path: Path):
    run = tmp_path / "run"
    process = started(phantoms, run)
    wait_for_epochs(process, run, epochs)
    time.sleep(0.05 * epochs)  # somewhere in the next epoch, or in the writing of this one
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "result.json").exists()
    resumed(run)
    assert_same_run(whole, run)
    assert not list(run.glob(".*.part")), "a temporary file of the killed process is left"


def wait_for_workers(process: Process) -> None:
    """Workers of a killed process look for it every few seconds, and hold its run until then."""
    deadline = time.monotonic() + 10
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


def killed_after(argv: Sequence[str], seconds: float, err: Path) -> bool:
    """Start a command and kill it after some seconds: whether that was needed. It must not fail by itself."""
    process = processes.start(argv, stdout=err.with_suffix(".out"), stderr=err)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        wait_for_workers(process)
        return True
    assert code == 0, err.read_text()
    return False


def test_a_run_killed_again_and_again_ends_with_the_same_bits(phantoms: Path, whole: Path, tmp_path: Path):
    """At moments that nobody chose: while it decodes, trains, validates, saves within an epoch, exports."""
    run, moments = tmp_path / "run", random.Random(4711)
    kills = 0
    while not (run / "result.json").exists():
        if (run / "last.pt").exists() or (run / "within-epoch.pt").exists():
            argv = ["train", "--resume", str(run)]
        else:  # killed before its first checkpoint
            shutil.rmtree(run, ignore_errors=True)
            argv = ["train", "--data", str(phantoms), "--run-dir", str(run), *SETTINGS, *AT_EVERY_STEP]
        # After eight kills it may finish: how far a session comes depends on the machine.
        kills += killed_after(argv, moments.uniform(0.3, 5) if kills < 8 else 300, tmp_path / "err")
    assert kills > 0
    assert_same_run(whole, run)
    assert not list(run.glob(".*.part"))


@pytest.mark.long
def test_a_group_of_folds_killed_again_and_again_ends_with_the_same_bits(phantoms: Path, tmp_path: Path):
    """The same command each time: it goes on with the unfinished run, then completes the group."""
    settings = ["--image-size", "32", "--batch-size", "16", "--device", "cpu", "--epochs", "2", "--folds", "2"]
    argv = ["train", "--data", str(phantoms), *settings, "--ensemble", "--continue", "--run-dir"]
    whole, group, moments, kills = tmp_path / "whole", tmp_path / "group", random.Random(15), 0
    done = processes.run([*argv, whole], timeout=600)
    assert done.returncode == 0, done.stderr
    while not (group / "result.json").exists():
        seconds = moments.uniform(1, 8) if kills < 5 else 600
        kills += killed_after([*argv, str(group)], seconds, tmp_path / "err")
    assert kills > 0
    for fold in ("fold-1", "fold-2"):
        assert_same_run(whole / fold, group / fold)
    for name in ("manifest.csv", "out-of-fold.csv", "card.json", "model.onnx", "fold-1/model.onnx"):
        assert (whole / name).read_bytes() == (group / name).read_bytes(), name
    assert not list(group.rglob(".*.part"))


@pytest.mark.skipif(sys.platform != "linux", reason="the faults are injected by way of /proc")
def test_a_run_on_a_share_without_locks_ends_with_the_same_bits(phantoms: Path, whole: Path, tmp_path: Path):
    """Its drive vanishes on the way, too: one sentence, the command that resumes, and nothing half-written."""
    run = tmp_path / "run"

    def pneumo(fault: str, *argv: str) -> subprocess.CompletedProcess[str]:
        helper = [sys.executable, "-m", "tests.helpers.faulty_share", str(tmp_path), fault, *argv]
        return subprocess.run(helper, capture_output=True, text=True, timeout=300, check=False)

    first = pneumo("fsync:ENOTCONN:14", "train", "--data", str(phantoms), "--run-dir", str(run), *SETTINGS)
    assert first.returncode == 1
    assert (run / "last.pt").exists(), "the fault came before there was anything to resume"
    error, hint = first.stderr.splitlines()[-2:]
    assert error.startswith("error: cannot write")
    assert "its drive does not answer any more" in error
    assert hint == f"hint: pneumo train --resume {run}"
    assert "Traceback" not in first.stderr
    assert not list(run.glob(".*")), "a temporary file is left"
    second = pneumo("flock:ENOLCK", "train", "--resume", str(run))
    assert second.returncode == 0, second.stderr
    assert second.stderr.count("has no locks") == 1
    assert_same_run(whole, run)
    assert not list(run.glob(".*"))


def test_what_a_power_cut_leaves_is_overcome(phantoms: Path, whole: Path, tmp_path: Path):
    """Half a checkpoint under its temporary name, a torn history, no curves; last.pt itself is renamed when whole."""
    run = killed(phantoms, tmp_path / "run", after=2)
    content = (run / "last.pt").read_bytes()
    (run / ".last.pt.abc.part").write_bytes(content[: len(content) // 2])
    (run / "history.csv").write_bytes(b"epoch,tra")
    (run / "curves.png").write_bytes(b"")
    resumed(run)
    assert_same_run(whole, run)
    assert not list(run.glob(".*.part"))


@pytest.mark.skipif(sys.platform != "linux", reason="takes root's rights away by a call of Linux")
def test_a_read_only_folder_is_told_and_nothing_is_lost(phantoms: Path, whole: Path, tmp_path: Path):
    run = killed(phantoms, tmp_path / "run", after=1)
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    run.chmod(0o500)
    argv = command("train", "--resume", str(run))
    refused = subprocess.run(argv, capture_output=True, text=True, preexec_fn=obey_permissions, check=False)
    run.chmod(0o700)
    assert refused.returncode == 1
    assert f"cannot write {run}" in refused.stderr
    assert "Permission denied" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    resumed(run)
    assert_same_run(whole, run)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_film_that_vanishes_is_named_and_nothing_is_lost(workers: str, phantoms: Path, tmp_path: Path):
    shutil.copytree(phantoms, tmp_path / "data")
    run = tmp_path / "run"
    process = started(tmp_path / "data", run, "--no-cache", "--workers", workers)
    wait_for_epochs(process, run, 1)
    rows = (run / "manifest.csv").read_text().splitlines()
    film = tmp_path / "data" / next(row for row in rows if ",train," in row).split(",")[0]
    film.rename(tmp_path / "aside")
    assert process.wait(120) == 1
    error = err_of(run).read_text()
    assert f"error: {film} cannot be opened: No such file or directory; it could be read when" in error
    assert "Traceback" not in error
    (tmp_path / "aside").rename(film)
    resumed(run)
    assert (run / "result.json").exists()


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGTERM, 143, "stopped by SIGTERM"),
        (signal.SIGUSR1, 128 + signal.SIGUSR1, "stopped by SIGUSR1"),
        (signal.SIGINT, 130, "interrupted"),
    ],
)
def test_a_polite_stop_says_how_to_resume(
    number: signal.Signals, code: int, words: str, phantoms: Path, whole: Path, tmp_path: Path
):
    run = tmp_path / "run"
    process = started(phantoms, run)
    wait_for_epochs(process, run, 1)
    process.send_signal(number)
    assert process.wait(60) == code
    err = err_of(run).read_text()
    assert out_of(run).read_text() == ""
    assert words in err
    assert f"hint: pneumo train --resume {run}" in err
    assert "Traceback" not in err
    resumed(run)
    assert_same_run(whole, run)


def wait_for_the_start(run: Path) -> None:
    deadline = time.monotonic() + 120
    while not (run / "environment.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(1)


def test_ctrl_c_before_the_first_checkpoint_does_not_advise_to_resume(phantoms: Path, tmp_path: Path):
    run = tmp_path / "run"
    process = started(phantoms, run, settings=LONG_EPOCHS)
    wait_for_the_start(run)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert not (run / "last.pt").exists(), "the machine was faster than this test expects"
    assert f"hint: pneumo train --like {run} --run-dir {run} --continue\n" in err_of(run).read_text()


@pytest.fixture(scope="module")
def whole_of_long_epochs(phantoms: Path, made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The run of long epochs that nothing interrupts: read it, never change it."""

    def fill(run: Path) -> None:
        assert started(phantoms, run, "--workers", "1", settings=LONG_EPOCHS).wait(300) == 0, err_of(run).read_text()

    return made_once("whole-of-long-epochs", fill)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_within_the_first_epoch_loses_no_step(
    number: signal.Signals, phantoms: Path, whole_of_long_epochs: Path, tmp_path: Path
):
    """And what comes after it can be stopped again."""
    run = tmp_path / "run"
    process = started(phantoms, run, "--workers", "1", settings=LONG_EPOCHS)
    wait_for_the_start(run)
    for _ in range(2):
        process.send_signal(number)  # as a scheduler and torchrun both do: the second interrupts nothing
    assert process.wait(60) == 128 + number
    assert not (run / "last.pt").exists(), "the machine was faster than this test expects"
    assert (run / "within-epoch.pt").exists()
    err = err_of(run).read_text()
    assert f"error: stopped by {number.name}" in err
    assert f"hint: pneumo train --resume {run}" in err
    assert "Traceback" not in err
    again = ["train", "--data", str(phantoms), *LONG_EPOCHS, "--workers", "1", "--run-dir", str(run), "--continue"]
    assert killed_after(again, 6.0, tmp_path / "again.err") or (run / "result.json").exists()
    resumed(run)
    assert_same_run(whole_of_long_epochs, run)
    assert {item.name for item in run.iterdir()} == {item.name for item in whole_of_long_epochs.iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_scheduler_that_stops_all_processes_at_once_is_answered_as_a_stop(phantoms: Path, tmp_path: Path):
    """Slurm and Kubernetes send SIGTERM to every process; a worker's end must not pass for a failure."""
    run = tmp_path / "run"
    process = started(phantoms, run, "--workers", "2")
    wait_for_epochs(process, run, 1)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (*map(int, workers), process.pid):
        os.kill(pid, signal.SIGTERM)
    assert process.wait(60) == 143
    err = err_of(run).read_text()
    assert "error: stopped by SIGTERM" in err
    assert f"hint: pneumo train --resume {run}" in err
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")
def test_a_killed_worker_is_told_and_nothing_is_lost(phantoms: Path, whole: Path, tmp_path: Path):
    """As Linux does it when memory is short, and with SIGBUS when shared memory is."""
    run = tmp_path / "run"
    process = started(phantoms, run, "--workers", "1")
    wait_for_epochs(process, run, 1)
    for worker in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(worker), signal.SIGKILL)
    assert process.wait(60) == 1
    err = err_of(run).read_text()
    assert "a worker process that prepares films was killed" in err
    assert f"pneumo train --resume {run}" in err
    assert "Traceback" not in err
    resumed(run)
    assert_same_run(whole, run)


@pytest.mark.skipif(sys.platform == "win32", reason="the compiler that fails is a shell script")
def test_a_compiler_that_fails_is_done_without(phantoms: Path, whole: Path, tmp_path: Path):
    compiler, run = tmp_path / "c++", tmp_path / "run"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    env = {**os.environ, "CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    argv = command("train", "--data", str(phantoms), "--run-dir", str(run), *SETTINGS, "--compile")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be compiled here: training without it") == 1
    assert_same_run(whole, run)


def test_a_second_training_into_the_same_run_is_refused(phantoms: Path, tmp_path: Path):
    run = tmp_path / "run"
    process = started(phantoms, run)
    wait_for_epochs(process, run, 1)
    second = processes.run(["train", "--resume", run])
    # --epochs replaces config.json: the lock must not be on a file that goes away.
    third = processes.run(["train", "--resume", run, "--epochs", "9"])
    process.kill()
    process.wait()
    for refused in (second, third):
        assert refused.returncode == 1
        assert "another process is training" in refused.stderr
    assert '"epochs": 3' in (run / "config.json").read_text(), "a refused resume changes nothing"


def test_a_full_disk_is_told_and_the_last_epoch_stays_whole(phantoms: Path, whole: Path, tmp_path: Path):
    """A file size limit stands in for the full disk: writing last.pt fails midway."""
    import resource

    run = killed(phantoms, tmp_path / "run", after=1)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000_000, 60_000_000))

    argv = command("train", "--resume", str(run))
    limited = subprocess.run(argv, capture_output=True, text=True, timeout=300, preexec_fn=limit, check=False)
    assert limited.returncode == 1, limited.stderr
    assert "cannot write" in limited.stderr
    assert "last.pt" in limited.stderr
    assert "Traceback" not in limited.stderr
    resumed(run)
    assert_same_run(whole, run)


def test_two_processes_equal_one_with_a_frozen_backbone(phantoms: Path, tmp_path: Path):
    """The real torchrun, gloo on the CPU: one writer, every film once, the same weights as a single process."""
    common = [*SETTINGS, "--freeze", "backbone", "--data", str(phantoms)]
    alone = processes.run(["train", *common, "--run-dir", tmp_path / "one"])
    assert alone.returncode == 0, alone.stderr
    two = torchrun("train", *common, "--run-dir", str(tmp_path / "two"))
    assert two.returncode == 0, two.stderr
    import torch

    one, both = (torch.load(tmp_path / name / "best.pt", weights_only=True)["weights"] for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], both[name], rtol=1e-3, atol=1e-5)
    on = processes.run(["train", "--resume", tmp_path / "two", "--epochs", "4"])
    assert on.returncode == 0, on.stderr
    assert "written by 2 processes and continues with one: the same batches" in on.stderr


def test_two_processes_train_an_unfrozen_network(phantoms: Path, tmp_path: Path):
    done = torchrun("train", *SETTINGS, "--data", str(phantoms), "--run-dir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").is_file()
    assert done.stdout.count("best epoch") == 1, "only the first process prints a result"


def test_a_second_process_leaves_the_report_to_the_first_and_waits_for_it():
    """If it ended at once, torchrun would stop a first process that has not come as far, with nothing reported."""
    env = {**os.environ, "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    second = subprocess.Popen(command("train", "--epochs", "0"), stderr=subprocess.PIPE, text=True, env=env)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(5)
    second.send_signal(signal.SIGTERM)
    _, err = second.communicate(timeout=60)
    assert (second.returncode, err) == (2, "")


def test_a_mistake_of_several_processes_is_told_once(phantoms: Path, tmp_path: Path):
    (tmp_path / "taken").mkdir()
    cases = [
        (["--data", str(tmp_path / "none")], "error: no data folder"),
        (["--data", str(phantoms), "--run-dir", str(tmp_path / "taken")], "exists already"),
        (["--data", str(phantoms), "--epochs", "0"], "error: --epochs"),
    ]
    for argv, words in cases:
        done = torchrun("train", "--image-size", "64", "--val-fraction", "0.25", *argv)
        assert done.returncode != 0
        assert done.stderr.count(words) == 1, done.stderr
        assert "[rank1]" not in done.stderr, done.stderr  # how torch marks another process's traceback
    assert not list((tmp_path / "taken").iterdir())


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_resume_bit_for_bit(count: int, phantoms: Path, tmp_path: Path):
    for run, epochs in (("whole", "2"), ("parts", "1")):
        flags = ["--data", phantoms, "--run-dir", tmp_path / run, "--epochs", epochs]
        done = processes.run_team(["train", *SMALL, *flags], count=count)
        assert done.returncode == 0, done.stderr
    done = processes.run_team(["train", "--resume", tmp_path / "parts", "--epochs", "2"], count=count)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.long
def test_another_number_of_processes_goes_on_within_an_epoch(phantoms: Path, tmp_path: Path):
    """Begun by one process, stopped within an epoch, continued by two and finished by three."""
    run = tmp_path / "run"
    process = started(phantoms, run, *AT_EVERY_STEP)
    deadline = time.monotonic() + 120
    while not (run / "within-epoch.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (run / "last.pt").exists(), "the machine was faster than this test expects"
    two = processes.run_team(["train", "--resume", run, "--epochs", "2"], count=2)
    assert two.returncode == 0, two.stderr
    assert "written by one process and continues with 2: the same batches, in other shares" in two.stderr
    three = processes.run_team(["train", "--resume", run, "--epochs", "3"], count=3)
    assert three.returncode == 0, three.stderr
    assert "--batch-size 16 cannot be divided evenly among 3 processes" in three.stderr
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 3
    flags = ["--image-size", "32", "--val-fraction", "0.25", "--batch-size", "2", "--run-dir", str(tmp_path / "none")]
    refused = processes.run_team(["train", "--data", phantoms, *flags], count=2)
    assert refused.returncode != 0
    assert refused.stderr.count("--batch-size 2 is too small for 2 processes") == 1
    assert not (tmp_path / "none").exists()


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of the node in /proc")
def test_a_node_joins_a_running_training_and_leaves_it_again(phantoms: Path, tmp_path: Path):
    """Two agents of torchrun on this machine stand for two nodes; one is killed with its process, as a node fails."""
    run, log = tmp_path / "run", tmp_path / "log"
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        port = taken.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", "1"]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--max-restarts", "3"]
    # A node that is silent for 10 seconds counts as gone: with 3, one that starts beside other tests did, and was lost.
    patience = ["--rdzv-conf", "last_call_timeout=1,keep_alive_interval=1,keep_alive_max_attempt=10"]
    flags = ["--data", str(phantoms), "--run-dir", str(run), "--image-size", "32", "--batch-size", "8", "--continue"]
    settings = ["--val-fraction", "0.25", "--device", "cpu", "--epochs", "500"]
    argv = [*launcher, *meeting, *patience, "-m", "pneumocli", "train", *flags, *settings]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # see docs/scaling.md
    deadline = time.monotonic() + 300

    def check_on_both() -> None:
        logs = "\n".join(f"{file.name}:\n{file.read_text()}" for file in sorted(tmp_path.glob("log*")))
        assert staying.poll() is None, logs
        assert time.monotonic() < deadline, logs

    def wait_for(text: str) -> None:
        while text not in log.read_text():
            check_on_both()
            time.sleep(0.05)

    def wait_for_an_epoch() -> None:
        done = len(RunFolder(run).history())
        while len(RunFolder(run).history()) <= done:
            check_on_both()
            time.sleep(0.05)

    with log.open("w") as file:
        staying = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=file, env=env)
    other: subprocess.Popen[bytes] | None = None
    try:
        wait_for("training into")
        with (tmp_path / "log-of-other").open("w") as file:
            other = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=file, env=env)
        wait_for("written by one process and continues with 2")
        wait_for_an_epoch()
        (process,) = children_of(other.pid)
        other.kill()
        os.kill(process, signal.SIGKILL)
        wait_for("written by 2 processes and continues with one: the same batches, in other shares")
        wait_for_an_epoch()
        staying.terminate()
        staying.wait(60)
    finally:
        for agent in (staying, other):
            if agent is not None:
                agent.kill()
                agent.wait()
    # torchrun ends a stopped agent with a traceback of its own.
    assert "Traceback" not in log.read_text().rpartition("continues with one")[0]


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def torchrun(*argv: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    program = [*launcher, "-m", "pneumocli", *argv]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(program, capture_output=True, text=True, timeout=400, env=env, check=False)
