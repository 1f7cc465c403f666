"""The program as a user types it: exit codes, one sentence, one hint, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pneumocli.cli.app import app
from pneumocli.cli.boundary import guarded
from pneumocli.cli.output import Output
from pneumocli.core.errors import DataError, SettingError
from pneumocli.core.signals import Stopped
from pneumocli.run_folder import RunFolder


def pneumo(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pneumocli", *argv], capture_output=True, text=True, cwd=cwd, env=env, check=False
    )


def in_this_process(argv: list[str]) -> Result:
    return CliRunner(env={"NO_COLOR": "1"}).invoke(app, argv, catch_exceptions=False)


@pytest.mark.parametrize(
    ("argv", "code", "words", "hint"),
    [
        (["train", "--data", "none"], 1, "no data folder at none", "pneumo download --data none"),
        (["train", "--epochs", "0"], 2, "--epochs: expected 1 or more", "pneumo train --help"),
        (["train", "--resume", "none"], 1, "no run folder at none", "pneumo train"),
        (["train", "--resume", "none", "--lr", "1"], 2, "--learning-rate cannot stand beside --resume", "--help"),
        (["train", "--resume", "none", "--continue"], 2, "--continue cannot stand beside --resume", "--help"),
        (["train", "--run-dir", "none", "--continue"], 1, "no data folder at data/chest_xray", "pneumo download"),
        (["evaluate", "none"], 1, "no run folder at none", "pneumo train"),
        (["compare", "none", "neither"], 1, "no run folder at none", "pneumo train"),
        (["compare", "one"], 2, "RUN: expected 2 or more, found 1", "pneumo compare --help"),
        (["predict", "none.jpeg"], 1, "no finished run under runs", "pneumo train"),
        (["verify-data", "none"], 1, "none", "pneumo download"),
        (["download", "--archive", "none.zip"], 1, "none.zip", ""),
    ],
)
def test_a_mistake_is_one_sentence_a_hint_and_the_right_code(
    argv: list[str], code: int, words: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    done = in_this_process(argv)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_a_mistake_ends_the_process_as_it_ends_the_call(tmp_path: Path):
    done = pneumo("train", "--data", "none", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no data folder at none\nhint: pneumo download --data none ")
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_unknown_flags_and_values_are_usage_errors():
    for argv in (["train", "--frobnicate"], ["train", "--epochs", "x"], ["frobnicate"], ["train", "--fit", "round"]):
        done = in_this_process(argv)
        assert done.exit_code == 2, argv
        assert "Traceback" not in done.stderr


def test_debug_shows_where_an_error_came_from(tmp_path: Path):
    done = pneumo("--debug", "evaluate", "none", cwd=tmp_path)
    assert done.returncode == 1
    assert "RunError" in done.stderr
    assert "Traceback" in done.stderr


def test_an_unfinished_run_says_how_to_finish_it(trained: RunFolder, tmp_path: Path):
    import shutil

    run = tmp_path / "my run"
    shutil.copytree(trained.path, run)
    (run / "result.json").unlink()
    done = pneumo("evaluate", str(run))
    assert done.returncode == 1
    assert "has not finished" in done.stderr
    assert f"hint: pneumo train --resume '{run}'\n" in done.stderr


@pytest.mark.slow
def test_train_prints_its_result(phantoms: Path, tmp_path: Path):
    run = tmp_path / "run"
    flags = ["--image-size", "32", "--epochs", "1", "--val-fraction", "0.25", "--batch-size", "16", "--device", "cpu"]
    done = pneumo("train", "--data", str(phantoms), "--run-dir", str(run), *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_epochs"] == 1
    assert "    1/1 " in done.stderr
    again = pneumo("train", "--data", str(phantoms), "--run-dir", str(run), *flags)
    assert again.returncode == 1
    assert "exists already" in again.stderr


def output() -> Output:
    return Output(json=False, quiet=False, debug=False)


def raising(error: BaseException):
    def run() -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [(DataError("x"), 1), (SettingError("x"), 2), (KeyboardInterrupt(), 130), (Stopped(), 143)]
    + [(Stopped(number), 128 + number) for number in (signal.SIGTERM, signal.SIGUSR1)],
)
def test_the_boundary_turns_errors_into_codes(error: BaseException, code: int):
    assert guarded(raising(error), output(), usage="pneumo x --help") == code


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_program_ends_leaves_no_traceback(number: signal.Signals):
    program = (
        f"import atexit, os, sys; atexit.register(lambda: os.kill(os.getpid(), {number.value}));"
        "sys.argv = ['pneumo', '--version']; from pneumocli.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -number
    assert done.stderr == ""


# matplotlib's and torch's C++ code call Python back: whatever is raised there ends in their hands.
_DROPPED = """
class Callback:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
def run():
    Callback()
    output.note("on it goes")
    return 0
"""
_TRANSLATED = """
def run():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt:
        raise ValueError("Invalid bounding box")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no os.kill that sends Ctrl-C")
@pytest.mark.parametrize("what", [_DROPPED, _TRANSLATED])
def test_ctrl_c_stops_what_a_library_took_it_from(what: str):
    program = (
        "import os, signal, sys, time\nfrom pneumocli.cli.boundary import guarded\n"
        "from pneumocli.cli.output import Output\nfrom pneumocli.core.signals import answer_signals\n"
        f"output = Output(json=False, quiet=False, debug=False)\n{what}"
        "answer_signals()\nsys.exit(guarded(run, output, usage=''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.endswith("error: interrupted\n")
    assert "on it goes" not in done.stderr


def test_the_boundary_hides_no_bug():
    with pytest.raises(ZeroDivisionError):
        guarded(raising(ZeroDivisionError()), output(), usage="")


def test_a_stop_says_how_to_resume(capsys: pytest.CaptureFixture[str]):
    speaker = output()
    speaker.resume_hint = "pneumo train --resume runs/a"
    guarded(raising(Stopped()), speaker, usage="")
    assert "error: stopped by SIGTERM\nhint: pneumo train --resume runs/a\n" in capsys.readouterr().err
