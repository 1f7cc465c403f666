"""Runs of release 0.1.0, made by its own code from the history, in the hands of this one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.test_train import assert_same_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SETTINGS = ["--image-size", "32", "--batch-size", "8", "--val-fraction", "0.25", "--device", "cpu", "--epochs", "2"]


def git(*argv: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *argv], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def old_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it was before its modules moved into rooms."""
    try:
        moved = git(
            "log", "-1", "--no-renames", "--diff-filter=D", "--format=%H", "--", "pneumocli/familiarity.py"
        ).decode()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the history of the checkout: {error}")
    if not moved:
        pytest.skip("needs the history of the checkout, which a source archive and a shallow clone lack")
    folder = tmp_path_factory.mktemp("old")
    archive = git("archive", f"{moved.strip()}~1", "pneumocli")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def pneumo(package: Path, *argv: str) -> str:
    """Runs the command line of the package that lies in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "pneumocli", *argv],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_an_old_run_is_resumed_bit_for_bit_evaluated_and_compared(old_release: Path, phantoms: Path, tmp_path: Path):
    first, again = tmp_path / "first", tmp_path / "again"
    pneumo(old_release, "train", "--data", str(phantoms), "--run-dir", str(first), *SETTINGS)
    pneumo(old_release, "evaluate", str(first))
    assert (old_release / "pneumocli" / "runs.py").is_file(), "this is not the old release"
    shutil.copytree(first, again)

    pneumo(old_release, "train", "--resume", str(first), "--epochs", "3")
    pneumo(ROOT, "train", "--resume", str(again), "--epochs", "3")
    assert_same_run(first, again)

    pneumo(ROOT, "evaluate", str(again))
    text = pneumo(ROOT, "compare", str(first), str(again), "--output", str(tmp_path / "comparison"))
    assert "Nothing differs" in text
    film = next((phantoms / "test" / "NORMAL").iterdir())
    (theirs,), (ours,) = (
        json.loads(pneumo(package, "predict", str(film), "--run", str(run), "--json"))
        for package, run in ((old_release, first), (ROOT, again))
    )
    # The sigmoid rounds its last digit as SciPy's does, since it is one for tables and for single films.
    assert ours.pop("probability") == pytest.approx(theirs.pop("probability"), rel=1e-14)
    assert ours == theirs
