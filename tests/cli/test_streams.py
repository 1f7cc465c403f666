"""Standard streams that are closed or full: one sentence or silence, never a traceback, and files stay whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pneumocli.run_folder import RunFolder

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")


def pneumo(command: str, streams: str) -> "subprocess.CompletedProcess[str]":
    line = f"{sys.executable} -m pneumocli {command} {streams}"
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "command", ["--version", "--help", "runs {folder} --json", "predict {film} --run {run} --json"]
)
def test_a_full_disk_below_standard_output_is_one_sentence(command: str, trained: RunFolder, phantoms: Path):
    film = next((phantoms / "test" / "NORMAL").iterdir())
    done = pneumo(command.format(folder=trained.path.parent, film=film, run=trained.path), ">/dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: standard output cannot be written: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_closed_streams_are_no_reason_to_stop(trained: RunFolder):
    assert pneumo(f"runs {trained.path}", ">&-").returncode == 0
    assert pneumo(f"runs {trained.path}", "2>&-").returncode == 0
    done = pneumo(f"predict - --run {trained.path}", "<&-")
    assert (done.returncode, "is empty (0 bytes)" in done.stderr) == (1, True)


def test_a_reader_that_has_seen_enough_ends_it_quietly():
    done = pneumo("train --help", "| head -n 1")
    assert done.stderr == ""


def test_messages_that_cannot_be_written_cost_nothing(trained: RunFolder, phantoms: Path):
    """A log on a full disk: the answers are there all the same."""
    film = next((phantoms / "test" / "NORMAL").iterdir())
    done = pneumo(f"predict {film} --run {trained.path} --json", "2>/dev/full")
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["prediction"]
