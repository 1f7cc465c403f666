"""The wheel holds what the code reads beside itself, wherever it lies; the source archive makes the same wheel."""

import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from pathlib import Path
from jinja2 import PackageLoader
import pneumocli
assert Path(pneumocli.__file__).is_relative_to(sys.argv[1]), pneumocli.__file__
from pneumocli.data import release_lists
print(len(release_lists.kaggle_films()))
print(*PackageLoader("pneumocli").list_templates())
"""


def built(folder: Path, source: Path = ROOT) -> Path:
    """A wheel of this tree; the build backend comes from this environment or, where that has none, by pip."""
    own = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", *own, "--wheel-dir", str(folder), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not own and "hatchling" in done.stderr and done.returncode:
        pytest.skip("there is no hatchling here, and pip cannot fetch it")
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("pneumocli-*.whl")
    return wheel


def test_an_unpacked_wheel_finds_its_tables_and_templates(tmp_path: Path):
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(built(tmp_path / "wheel")) as wheel:
        names = wheel.namelist()
        wheel.extractall(unpacked)
    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pneumocli").rglob("*") if path.is_file()}
    assert {name for name in source if "__pycache__" not in name} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "docs"))]
    # -P and the working directory keep this tree out of the search path.
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(unpacked)],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(unpacked)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows, templates = done.stdout.splitlines()
    assert int(rows) == 5856
    assert {"evaluation.html.j2", "comparison.html.j2", "verification.html.j2", "model_card.md.j2"} <= set(
        templates.split()
    )


def test_the_source_archive_holds_the_project_and_makes_the_same_wheel(tmp_path: Path):
    pytest.importorskip("hatchling", reason="it makes the archive")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("pneumocli-*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"README.md", "LICENSE", "docs/index.md", "docs/CITATION.cff", "tests/flags.txt"} <= names
    assert [name for name in names if "__pycache__" in name or name.startswith(("runs", "data", ".venv"))] == []
    wheels = [built(tmp_path / "from-archive", archive), built(tmp_path / "from-tree")]
    one, other = ({item.filename: item.CRC for item in zipfile.ZipFile(wheel).infolist()} for wheel in wheels)
    assert one == other
    # Installed beside nothing else, it starts: its packages are those of this environment.
    target = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheels[0])],
        check=True, capture_output=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pneumocli", "runs", "nowhere"],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(target)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.startswith("error: no folder of runs at nowhere")) == (1, True), done.stderr
