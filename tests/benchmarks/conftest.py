"""What the benchmarks share: one table at the end, and runs of whole processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pneumocli.data.phantom import write_phantoms
from tests.conftest import SHARED

Row = Callable[[str, str, str], None]

_ROWS = pytest.StashKey[list[tuple[str, str, str]]]()


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of films of original size: $PNEUMO_BENCHMARK_FILMS, real ones, or phantoms as large as those."""
    chosen = os.environ.get("PNEUMO_BENCHMARK_FILMS")
    if chosen:
        return Path(chosen)
    if SHARED.is_dir():
        return SHARED / "data" / "chest_xray_mini"
    folder = tmp_path_factory.mktemp("films")
    write_phantoms(folder, num_train=160, num_val=8, num_test=32, short_sides=(900, 1500))
    return folder


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """Adds a row to the table that is printed when all benchmarks are done: what, measured, asked for."""
    rows = request.config.stash.setdefault(_ROWS, [])
    return lambda what, measured, asked: rows.append((what, measured, asked))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.write_line("\n| what | measured | at least |\n| --- | ---: | ---: |")
        for cells in rows:
            terminalreporter.write_line("| " + " | ".join(cells) + " |")


@dataclass(frozen=True)
class Run:
    """One process: what it took."""

    seconds: float
    peak_megabytes: float
    output: str


# Started by a process as small as can be: a child's peak includes what its parent held when it was forked.
_LAUNCHER = """
import json, os, sys, time
began = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
found = [time.perf_counter() - began, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]
print(json.dumps(found), file=sys.stderr)
"""


def python(*argv: object) -> Run:
    """Runs Python with these arguments to its end."""
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, sys.executable, *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    seconds, peak_megabytes, code = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return Run(seconds, peak_megabytes, done.stdout)
