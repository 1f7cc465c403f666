"""The structure: floors, lazy imports, one spelling of every flag."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pneumocli.run_folder import RunFolder
from tests.helpers import import_graph

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pneumocli"

HEAVY = {"torch", "torchvision", "sklearn", "scipy", "matplotlib", "kaggle", "onnxruntime", "PIL", "numpy"}


def test_the_table_of_floors_names_what_is_there():
    assert import_graph.modules_in_table() == set(import_graph.modules_on_disk())


def test_a_room_imports_only_lower_floors():
    assert import_graph.upward_imports() == []


def test_no_imports_go_in_circles():
    assert import_graph.circles() == []


def test_every_import_counts(tmp_path: Path):
    """Those for typing, those inside functions, whole modules, and public names that are resolved from strings."""
    (tmp_path / "module.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "import pneumocli.core.errors\n"
        "if TYPE_CHECKING:\n    from pneumocli.core.files import locked\n"
        "def f():\n    from pneumocli.model import network\n    return 'pneumocli.run_folder'\n"
    )
    assert import_graph.imports_of(tmp_path / "module.py") == {
        "core.errors", "core.files", "model.network", "run_folder"
    }  # fmt: skip


def test_an_upward_import_and_a_circle_are_found(monkeypatch: pytest.MonkeyPatch):
    arrows = {"core.files": {"data.film"}, "data.film": {"core.files"}}
    monkeypatch.setattr(import_graph, "graph", lambda: arrows)
    assert import_graph.upward_imports() == ["core.files (floor 1) imports data.film (floor 2)"]
    assert import_graph.circles() == ["core.files -> data.film -> core.files"]


def test_files_that_make_folders_packages_are_empty():
    assert [str(file) for file in PACKAGE.glob("*/**/__init__.py") if file.read_text()] == []


def test_only_the_run_folder_knows_the_names_inside_a_run():
    """No other module holds one as a string of its own, or as the end of a path; messages take them from attributes."""
    runs = RunFolder(Path("run")), RunFolder(Path("run"), "int8")
    evaluations = [run.evaluation_folder("test") for run in runs]
    paths = [path for folder in (*runs, *evaluations) for path in vars(folder).values() if isinstance(path, Path)]
    names = {path.name for path in paths} - {"run", "test"} | {folder.path.parent.name for folder in evaluations}
    assert len(names) == 23
    for name, path in import_graph.modules_on_disk().items():
        constants = (node.value for node in import_graph.nodes_of(path) if isinstance(node, ast.Constant))
        texts = [value for value in constants if isinstance(value, str)]
        assert name == "run_folder" or [text for text in texts if text.rpartition("/")[2] in names] == [], name


def test_typer_and_rich_stay_in_the_command_line():
    for name, path in import_graph.modules_on_disk().items():
        for node in import_graph.nodes_of(path):
            roots = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom) and node.module:
                roots = {node.module.split(".")[0]}
            assert "click" not in roots, f"{name} imports click, which Typer vendors"
            if not name.startswith("cli."):
                assert not roots & {"typer", "rich"}, f"{name} imports {roots}"


def loaded_after(*argv: str, code: int = 0) -> set[str]:
    """Top-level packages that a pneumo command has loaded when it ends."""
    program = (
        "import json, sys, atexit\n"
        "sys.argv = ['pneumo', *json.loads(sys.argv[1])]\n"
        "atexit.register(lambda: print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr))\n"
        "from pneumocli.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(argv)], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == code, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["train", "--help"], 0),
        (["predict", "--help"], 0),
        (["train", "--epochs", "0"], 2),
        (["train", "--frobnicate"], 2),
        (["train", "--resume", "x", "--lr", "1"], 2),
        (["train", "--resume", "none"], 1),
        (["evaluate", "none"], 1),
        (["recalibrate", "none", "--data", "none"], 1),
        (["compare", "none", "neither"], 1),
        (["runs", "none"], 1),
    ],
)
def test_help_and_mistakes_load_nothing_heavy(argv: list[str], code: int):
    assert not loaded_after(*argv, code=code) & HEAVY


def test_the_package_itself_is_light():
    done = subprocess.run(
        [sys.executable, "-c", "import pneumocli, sys; print(sorted({n.split('.')[0] for n in sys.modules}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(ast.literal_eval(done.stdout)) & (HEAVY | {"pydantic", "typer", "rich"})


def test_public_names_resolve():
    import pneumocli

    for name in pneumocli.__all__:
        assert getattr(pneumocli, name) is not None
    assert sorted(pneumocli.__all__) == sorted(pneumocli._PUBLIC)
    with pytest.raises(AttributeError, match="frobnicate"):
        _ = pneumocli.frobnicate
