"""The structure: layers, lazy imports, one spelling of every flag."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pneumocli"

HEAVY = {"torch", "torchvision", "sklearn", "scipy", "matplotlib", "kaggle", "onnxruntime", "PIL", "numpy"}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    }


def test_typer_and_rich_stay_in_the_command_line():
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
        (["compare", "none", "neither"], 1),
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
