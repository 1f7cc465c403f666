"""Every command in plain mode at 80 columns: no line is wider, and no word of a message is broken."""

import os
from pathlib import Path

import pytest

from pneumocli.metrics.records import Evaluation
from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of
from tests.helpers import processes


def printed(*argv: object, cwd: Path, columns: int = 80) -> tuple[str, str]:
    """What a command prints on standard output and standard error; paths are relative, so that they are short."""
    env = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"}
    done = processes.run(argv, cwd=cwd, env=env)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout, done.stderr


def assert_fits(*argv: object, cwd: Path) -> None:
    out, err = printed(*argv, cwd=cwd)
    assert [line for line in (out + err).splitlines() if len(line) > 80] == []
    wide = printed(*argv, cwd=cwd, columns=400)[1]
    assert err.split() == wide.split(), "a word of a message is broken"


@pytest.fixture(scope="module")
def place(evaluated: tuple[RunFolder, Evaluation], phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: data, two runs, an unfinished one."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "films").symlink_to(phantoms)
    run, _ = evaluated
    copy_of(run, folder / "runs" / "scratch", evaluations=True)
    copy_of(run, folder / "runs" / "a-run-with-a-rather-long-name", evaluations=True)
    copy_of(run, folder / "runs" / "unfinished").result_file.unlink()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "argv",
    [
        "runs",
        "predict films/test --run runs/scratch",
        "predict films/test/NORMAL --run runs/scratch --all --csv answers.csv --explain maps",
        "predict nope.jpeg --run runs/scratch",
        "verify-data films --report films.html",
        "evaluate runs/scratch",
        "compare runs/scratch runs/a-run-with-a-rather-long-name",
        "evaluate runs/unfinished",
        "evaluate runs/scratch --data runs",
        "train --device gpu",
        "train --data films --manifest none.csv",
        "download --archive none.zip",
        "frobnicate",
        "predict films --shard 3/2",
    ],
)
def test_what_a_command_prints_fits_80_columns(argv: str, place: Path):
    assert_fits(*argv.split(), cwd=place)


@pytest.mark.slow
def test_a_training_fits_80_columns(place: Path):
    flags = "--data films --image-size 32 --epochs 2 --val-fraction 0.25 --batch-size 16 --device cpu"
    out, err = printed("train", *flags.split(), cwd=place)
    assert [line for line in (out + err).splitlines() if len(line) > 80] == []
    lines = [" ".join(line.split()) for line in err.splitlines()]
    assert any(line.startswith("1/2 ") for line in lines)
    assert "runs/scratch exists already: this run is runs/scratch-2" in " ".join(out.split())
    assert out.rstrip().endswith("not for diagnosis.")
