"""The wheel holds what the code reads beside itself, and finds it where the package was unpacked."""

import importlib.util
import subprocess
import sys
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


def built(folder: Path) -> Path:
    """A wheel of this tree; the build backend comes from this environment or, where that has none, by pip."""
    own = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", *own, "--wheel-dir", str(folder), str(ROOT)],
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
