"""What the shell completes: run folders, devices, splits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pneumocli.cli.completion import devices, run_folders


@pytest.fixture
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/scratch", "runs/transfer", "old/scratch", "runs/notes"):
        (tmp_path / name).mkdir(parents=True)
        if name != "runs/notes":
            (tmp_path / name / "config.json").write_text("{}")


@pytest.mark.usefixtures("_runs")
def test_run_folders_are_completed():
    assert run_folders("") == ["runs/scratch", "runs/transfer"]
    assert run_folders("runs/t") == ["runs/transfer"]
    assert run_folders("old/") == ["old/scratch"]


def test_devices_are_completed():
    assert devices("c") == ["cpu", "cuda", "cuda:0"]


@pytest.mark.usefixtures("_runs")
@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("pneumo evaluate ru", {"runs/scratch", "runs/transfer"}),
        ("pneumo train --like runs/t", {"runs/transfer"}),
        ("pneumo evaluate runs/scratch --split ", {"train", "val", "test"}),
        ("pneumo train --device cu", {"cuda", "cuda:0"}),
    ],
)
def test_the_shell_gets_them(typed: str, found: set[str]):
    words = {"_PNEUMO_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    program = "import sys; sys.argv = ['pneumo']; from pneumocli.cli.app import app; app(prog_name='pneumo')"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **words}, capture_output=True, text=True, check=False
    )
    assert set(done.stdout.split()) == found
