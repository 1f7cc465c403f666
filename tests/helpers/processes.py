"""Real processes of ``pneumo``, without the seconds of importing torch: forks of one process that has imported it.

A process of its own, with arguments, environment, folder, signals and end, as ``python -m pneumocli`` is, and in
the same state but for what is imported already and what was read while it was: the number of threads, encodings.
Tests of those, of what a command imports, and of a start itself use :mod:`subprocess`.
"""

import atexit
import contextlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import IO, Any

_IMPORTED = (
    "pneumocli.cli.app",
    "pneumocli.training.train",
    "pneumocli.evaluation.compare",
    "pneumocli.inference.predict",
    "pneumocli.verification.verify",
    "pneumocli.release.download",
    "sklearn.linear_model",
    "onnxruntime",
    "onnxscript.function_libs.torch_lib.ops",
)
_NUMBERS = count()
_LOOK = 0.005  # seconds between two looks for an end


class Process:
    """A started process; the methods are those of :class:`subprocess.Popen`."""

    def __init__(self, pid: int, end: Path) -> None:
        self.pid, self.returncode = pid, None
        self._end = end

    def poll(self) -> int | None:
        if self.returncode is None and self._end.exists():
            self.returncode = int(self._end.read_text())
            self._end.unlink()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (3600 if timeout is None else timeout)
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 3600)
            time.sleep(_LOOK)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    argv: Sequence[object],
    *,
    stdout: Path,
    stderr: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> "Process | subprocess.Popen[bytes]":
    """Start ``pneumo ARGV`` in a session of its own.

    Args:
        argv: Arguments, without the program's name.
        stdout: Where its standard output goes.
        stderr: Likewise its standard error.
        cwd: Its folder, by default this process's.
        env: Its environment, by default this process's.
    """
    words = [str(word) for word in argv]
    if sys.platform != "linux":  # a fork of a process with torch is safe there alone
        with stdout.open("wb") as out, stderr.open("wb") as err:
            command = [sys.executable, "-m", "pneumocli", *words]
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd, env=env, start_new_session=True
            )
    orders, pids, ends = _origin()
    files = {"stdout": stdout.absolute(), "stderr": stderr.absolute(), "end": ends / str(next(_NUMBERS))}
    order = {"argv": words, "cwd": str(cwd or Path.cwd()), "env": dict(os.environ if env is None else env)}
    orders.write(json.dumps(order | {name: str(file) for name, file in files.items()}) + "\n")
    orders.flush()
    return Process(int(pids.readline()), files["end"])


def run(
    argv: Sequence[object], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run ``pneumo ARGV`` to its end; a process that takes longer than ``timeout`` seconds is killed and raises."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "stdout", Path(folder) / "stderr"
        process = start(argv, stdout=out, stderr=err, cwd=cwd, env=env)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
            raise
        return subprocess.CompletedProcess(
            list(argv), code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
        )


def run_team(argv: Sequence[object], *, count: int, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run ``pneumo ARGV`` in several processes that work together, as ``torchrun --nproc-per-node COUNT`` does.

    The first that fails ends the others by SIGTERM. Returned are its exit code and the output of all, one by one.
    """
    common = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(_free_port()), "OMP_NUM_THREADS": "1"}
    common |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(count))
    with tempfile.TemporaryDirectory() as folder:
        outs, errs = ([Path(folder) / f"{kind}-{rank}" for rank in range(count)] for kind in ("out", "err"))
        running = [
            start(
                argv, stdout=out, stderr=err, env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            )
            for rank, (out, err) in enumerate(zip(outs, errs, strict=True))
        ]
        deadline = time.monotonic() + timeout
        while not (failed := [p for p in running if p.poll()]) and any(p.poll() is None for p in running):
            assert time.monotonic() < deadline, [err.read_text() for err in errs]
            time.sleep(_LOOK)
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired as error:  # such as one that still waits for the failed one to join
                process.kill()
                raise AssertionError([err.read_text() for err in errs]) from error
        texts = ("".join(file.read_text(encoding="utf-8") for file in files) for files in (outs, errs))
        return subprocess.CompletedProcess(list(argv), failed[0].returncode if failed else 0, *texts)


def _free_port() -> int:
    """A port that nobody listens on, nor will before it is used.

    Below those that the system gives to connections (32768 and up), and of another range for each process of tests.
    """
    start = 20_000 + 2_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in random.sample(range(start, start + 2_000), 2_000):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("localhost", port))
            return port
    raise OSError("no free port")


@cache
def _origin() -> tuple[IO[str], IO[str], Path]:
    """The process that all others are forks of: where it takes orders, where it answers, where it notes ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.processes"], cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    folder = tempfile.TemporaryDirectory(prefix="pneumo-ends-")
    atexit.register(folder.cleanup)
    atexit.register(process.communicate)  # the end of its orders is its own
    return process.stdin, process.stdout, Path(folder.name)


def _serve() -> Mapping[str, str] | None:
    """Forks as ordered until the orders end; in a fork, returns its order."""
    for name in _IMPORTED:
        __import__(name)
    ends: dict[int, Path] = {}
    buffer = b""
    while True:
        if select.select([0], [], [], _LOOK if ends else None)[0]:
            if not (found := os.read(0, 1 << 16)):
                return None
            *lines, buffer = (buffer + found).split(b"\n")
            for order in map(json.loads, lines):
                if (pid := os.fork()) == 0:
                    return order
                ends[pid] = Path(order["end"])
                os.write(1, f"{pid}\n".encode())
        _note(ends)


def _note(ends: dict[int, Path]) -> None:
    """Writes how processes ended, each into its file, whole or not at all."""
    for pid in list(ends):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            file = ends.pop(pid)
            part = file.with_suffix(".part")
            part.write_text(str(os.waitstatus_to_exitcode(status)))
            part.rename(file)


def _become(order: Mapping[str, Any]) -> None:
    """Makes this fork what ``python -m pneumocli ARGV`` is."""
    os.setsid()
    for number, name in ((1, order["stdout"]), (2, order["stderr"])):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(descriptor, number)
        os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["pneumocli", *order["argv"]]
    runpy.run_module("pneumocli", run_name="__main__", alter_sys=True)


if __name__ == "__main__" and (given := _serve()) is not None:
    _become(given)
