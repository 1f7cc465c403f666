"""The commands that need no torch run where it is not installed; the others say how to get it."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from pneumocli.inference.classifier import Classifier
from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of
from tests.helpers.labelled import table_of

ROOT = Path(__file__).parents[2]

# None in sys.modules is what importing a package that is not there looks like.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "onnx", "onnxscript", "pynvml")))
from pneumocli.cli.app import main
main()
"""


def run(python: Sequence[str], *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [*python, *map(str, words)], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "package", "hint"),
    [
        (("train", "--data", "DATA", "--run-dir", "new"), "torch", "--index-url https://download.pytorch.org/whl/cpu"),
        (("predict", "FILM", "--run", "RUN", "--device", "cuda"), "torch", "pip install torch torchvision"),
        (("quantize", "RUN"), "onnx", "pip install onnx onnxscript"),
    ],
)
def test_what_needs_more_says_how_to_get_it(
    words: tuple[str, ...], package: str, hint: str, trained: RunFolder, phantoms: Path, tmp_path: Path
):
    named = {"DATA": phantoms, "RUN": trained.path, "FILM": min((phantoms / "test").rglob("*.jpeg"))}
    python = (sys.executable, "-c", WITHOUT)
    done = run(python, *(named.get(word, word) for word in words), cwd=tmp_path)
    assert done.returncode == 1
    assert f"error: this needs {package}" in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_folder_is_answered_and_compared_without_templates_or_masked_arrays(
    trained: RunFolder, phantoms: Path, tmp_path: Path
):
    """Each takes as long to import as several films to score."""
    ending = "import sys\nfrom pneumocli.cli.app import main\ntry:\n    main()\nfinally:\n    "
    program = f'{ending}print(sorted({{"jinja2", "numpy.ma"}} & set(sys.modules)), file=sys.stderr)'
    done = run((sys.executable, "-c", program), "predict", phantoms / "test", "--run", trained.path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "like the" in done.stderr  # compared as a whole
    assert done.stderr.endswith("[]\n")


@pytest.mark.long
@pytest.mark.slow
def test_the_environment_of_predict_only(trained: RunFolder, phantoms: Path, tmp_path: Path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    for words in (("--no-deps", ROOT), ("-r", ROOT / "docs" / "predict-only.txt")):
        done = run([python, "-m", "pip", "install", "--quiet", "--no-compile"], *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert run([python, "-c", "import torch"], cwd=tmp_path).returncode == 1
    copy_of(trained, tmp_path / "a")
    copy_of(trained, tmp_path / "b")
    table_of(tmp_path / "there.csv", phantoms, Classifier.of_run(trained))
    pneumo = [python, "-m", "pneumocli"]
    for words in (
        ("predict", phantoms / "test", "--run", "a", "--csv", "answers.csv", "--explain", "maps"),
        ("evaluate", "a"),
        ("compare", "a", "b"),
        ("runs", "."),
        ("download", "--source", "phantom", "--data", "films"),
        ("recalibrate", "a", "--data", phantoms, "--manifest", "there.csv", "--name", "there"),
    ):
        done = run(pneumo, *words, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    assert run(pneumo, "verify-data", phantoms, cwd=tmp_path).returncode in (0, 3)
    found = json.loads(run(pneumo, "doctor", "--json", cwd=tmp_path).stdout)
    assert "torch" in {check["name"] for check in found["checks"] if check["state"] == "problem"}
    assert "error: this needs torch" in run(pneumo, "train", "--data", phantoms, cwd=tmp_path).stderr
