"""Systems that are not at hand: what of Windows and macOS can be checked on any other one."""

import importlib.util
import io
import ntpath
import os
import re
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from types import ModuleType, SimpleNamespace

import pytest

from pneumocli.cli import app, predict_tables
from pneumocli.core import files, locks
from pneumocli.core.errors import PneumoError
from pneumocli.core.files import write_text
from pneumocli.metrics.records import Evaluation
from pneumocli.reporting import html
from pneumocli.run_folder import RunFolder
from pneumocli.tuning import trial
from tests.conftest import copy_of

ROOT = Path(__file__).parents[1]

# Names that a system lacks, each behind a test of the system that the type checker does not follow.
GUARDED = {
    "win32": {
        ("core/memory.py", "sysconf_names"),
        ("training/film_cache.py", "madvise"),
        ("training/loader.py", "SIGALRM"),
        ("training/loader.py", "alarm"),
        ("training/loader.py", "SIGUSR1"),
    },
    "darwin": set(),
}


@pytest.mark.slow
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_no_name_is_used_that_the_system_lacks(system: str, tmp_path: Path):
    argv = [sys.executable, "-m", "mypy", "--platform", system, "--no-warn-unreachable", "--cache-dir", tmp_path]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Found" in done.stdout or "Success" in done.stdout, done.stdout + done.stderr
    lacking = re.findall(r'^pneumocli/(\S+?):\d+: error: .*has no attribute "(\w+)"', done.stdout, re.MULTILINE)
    assert set(lacking) == GUARDED[system]


def test_every_text_file_is_opened_with_its_encoding():
    """Windows has another one by default, a system without a locale none beyond ASCII."""
    argv = [sys.executable, "-m", "ruff", "check", "--preview", "--select", "PLW1514", "--no-cache", "pneumocli"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def locks_of_windows(monkeypatch: pytest.MonkeyPatch, locking: object) -> ModuleType:
    """The module as Windows imports it, with its locking of bytes replaced."""
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    spec = importlib.util.spec_from_file_location("locks_of_windows", locks.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as on_windows:
        on_windows.setattr(sys, "platform", "win32")
        spec.loader.exec_module(module)
    return module


def test_windows_locks_no_byte_that_anybody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    places: list[int] = []
    module = locks_of_windows(monkeypatch, lambda file, mode, count: places.append(os.lseek(file, 0, os.SEEK_CUR)))
    manifest = tmp_path / "manifest.csv"
    write_text(manifest, "image,label\n")
    with module.locked(manifest, "taken"):
        assert places == [2**30]
        assert manifest.read_text(encoding="utf-8") == "image,label\n"
    assert manifest.stat().st_size == 12


class Open:
    """A file that another program holds open for some renames, as Windows reports it."""

    def __init__(self, times: int) -> None:
        self.times, self.rename = times, os.replace

    def __call__(self, source: str, target: Path) -> None:
        self.times -= 1
        if self.times >= 0:
            raise PermissionError(13, "Access is denied")
        self.rename(source, target)


def test_a_file_that_windows_holds_open_is_replaced_once_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_text(tmp_path / "history.csv", "old")
    monkeypatch.setattr(files, "_OPEN_FILES_STAY", True)
    monkeypatch.setattr(os, "replace", Open(3))
    write_text(tmp_path / "history.csv", "new")
    assert (tmp_path / "history.csv").read_text(encoding="utf-8") == "new"


def test_a_file_that_stays_open_is_named_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_text(tmp_path / "history.csv", "old")
    monkeypatch.setattr(files, "_OPEN_FILES_STAY", True)
    monkeypatch.setattr(files, "_WINDOWS_SECONDS", 0.1)
    monkeypatch.setattr(os, "replace", Open(1000))
    with pytest.raises(PneumoError, match=r"history\.csv: another program has it open") as caught:
        write_text(tmp_path / "history.csv", "new")
    assert "close it there" in str(caught.value.hint)
    assert [(item.name, item.read_text(encoding="utf-8")) for item in tmp_path.iterdir()] == [("history.csv", "old")]


def test_elsewhere_a_refused_rename_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_text(tmp_path / "history.csv", "old")
    monkeypatch.setattr(files, "_OPEN_FILES_STAY", False)
    monkeypatch.setattr(os, "replace", Open(1))
    with pytest.raises(PneumoError, match="Access is denied"):
        write_text(tmp_path / "history.csv", "new")


def drives_apart(path: str | Path, start: str | Path = os.curdir) -> str:
    """``relpath`` as Windows has it for two drives."""
    return ntpath.relpath(f"D:\\{Path(path).name}", f"C:\\{Path(start).name}")


def test_a_page_links_to_another_drive_by_its_whole_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert html.link(tmp_path / "runs" / "a b.html", tmp_path / "page.html") == "runs/a%20b.html"
    monkeypatch.setattr(os.path, "relpath", drives_apart)
    assert html.link(tmp_path / "a b.html", tmp_path / "page.html") == (tmp_path / "a b.html").as_uri()
    assert PureWindowsPath("D:/a b.html").as_uri() == "file:///D:/a%20b.html"  # what this is there


def test_a_film_on_another_drive_keeps_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os.path, "relpath", drives_apart)
    assert predict_tables.short_name("/films/a.jpeg") == "/films/a.jpeg"


def test_a_trial_that_was_killed_is_described_without_the_signals_of_one_system(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("signal.SIGKILL", raising=False)
    assert "when memory runs out" in trial._ending(-9)
    assert trial._ending(1) == "ended with code 1"


ENCODINGS = ["cp1252", "ascii"]


def written_by(monkeypatch: pytest.MonkeyPatch, encoding: str, *argv: str) -> tuple[int, str, str]:
    """A command's exit code, and both of its streams, which refuse what the encoding lacks."""
    written = [io.BytesIO(), io.BytesIO()]
    streams = [io.TextIOWrapper(one, encoding, errors="strict") for one in written]
    with monkeypatch.context() as patch:
        patch.setenv("NO_COLOR", "1")
        patch.setattr(sys, "argv", ["pneumo", *argv])
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        patch.setattr(app, "answer_signals", lambda: None)  # of the tests' own process
        patch.setattr(app, "end_at_the_next_signal", lambda: None)
        with pytest.raises(SystemExit) as caught:
            app.main()
        for stream in streams:
            stream.flush()
    out, err = (one.getvalue().decode(encoding) for one in written)
    return int(caught.value.code or 0), out, err


@pytest.fixture(scope="module")
def two_runs(evaluated: tuple[RunFolder, Evaluation], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("encodings") / "runs"
    one, other = (str(copy_of(evaluated[0], folder / name, evaluations=True).path) for name in "ab")
    return one, other


@pytest.mark.slow
@pytest.mark.usefixtures("nearly_tied")
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("runs {runs}", 0),
        ("doctor", None),
        ("verify-data {data}", 0),
        ("evaluate {a} --data {data}", 0),
        ("compare {a} {b} --data {data} --output {out}/comparison", 0),
        ("predict {data}/test --run {a} --all", 0),
        ("predict {data}/test/NORMAL --run {a} --report {out}/page.html", 0),
        ("recalibrate {a} --data {data} --name here", 1),
        ("download --source phantom --data {out}/phantoms", 0),
        (
            "train --data {data} --run-dir {out}/run --image-size 32 --epochs 1 --val official --device cpu",
            0,
        ),
        ("train --help", 0),
        ("quantize {a} --data {data}", 0),
        (
            "tune --data {data} --output {out}/study --trials 1 --folds 2 --seeds 1 --config {small} --device cpu "
            "--objective log-loss",
            0,
        ),
    ],
)
def test_every_command_writes_what_a_terminal_of_few_characters_can_show(
    encoding: str,
    command: str,
    code: int | None,
    two_runs: tuple[str, str],
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    small = tmp_path / "small.toml"
    small.write_text("image_size = 32\nepochs = 1\nval = 'patient'\n")
    places = {"a": two_runs[0], "b": two_runs[1], "runs": Path(two_runs[0]).parent}
    places |= {"data": phantoms, "out": tmp_path, "small": small}
    found, out, err = written_by(monkeypatch, encoding, *[part.format(**places) for part in command.split()])
    assert code is None or found == code, out + err
    assert found in (0, 1, 3), out + err
    assert "Traceback" not in err
    assert out or err
    assert not re.findall(r"\S*\?{1,}\S*", re.sub(r"is \S+ meant\?", "", out)), "a character without a look-alike"
