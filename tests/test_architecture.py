"""The structure: layers, lazy imports, one spelling of every flag."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pneumocli"

# A module imports its own level or lower; nothing imports cli. docs/design.md shows the same table.
LEVELS = {
    0: [
        "errors", "files", "memory", "parallel",
    ],
    1: [
        "config", "records", "events", "data.sources", "data.official", "data.findings",
    ],
    2: [
        "environment", "runs", "data.download", "data.archive", "data.transfer", "data.network_errors",
        "data.kaggle_client", "data.workplace", "data.holdings", "data.release_zip", "data.film",
        "data.images", "data.dicom", "data.manifest", "data.splits", "data.recognition", "data.verdicts",
        "data.verification", "data.verification_page", "data.properties", "data.duplicates", "data.phantom",
        "data.cache", "metrics", "intervals", "operating_points", "calibration", "paired", "curves",
        "bootstrap", "delong", "scores", "wording",
    ],
    3: [
        "model", "weights", "distributed", "data.augmentation", "data.loading", "inference", "onnx_file", "familiarity",
        "inputs",
    ],
    4: [
        "steps", "checkpoint", "preparation", "planning", "epochs", "finishing", "training", "tensorboard",
        "export", "evaluation", "evaluation_files", "prediction", "answer_table", "comparison", "comparison_plots",
        "explanation", "plots", "report", "demo", "seeds", "model_card", "seed_groups", "report_data", "colour_map",
    ],
}  # fmt: skip
LEVEL_OF = {name: level for level, names in LEVELS.items() for name in names}

HEAVY = {"torch", "torchvision", "sklearn", "scipy", "matplotlib", "kaggle", "onnxruntime", "PIL", "numpy"}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    }


def imports_of(path: Path) -> set[str]:
    """Modules of this package that a file imports, anywhere in it but under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in typing_only:
            continue
        package, _, base = (node.module or "").partition(".")
        if package == "pneumocli":
            names = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            found.update(name if name in modules() else base for name in names)
    return found - {""}


def test_every_module_has_a_level():
    names = {name for name in modules() if not name.startswith("cli.")}
    assert names <= set(LEVEL_OF), f"give these a level: {sorted(names - set(LEVEL_OF))}"


@pytest.mark.parametrize("name", [name for name in modules() if not name.startswith("cli.")])
def test_a_module_imports_its_own_level_or_lower(name: str):
    for imported in imports_of(modules()[name]):
        assert not imported.startswith("cli"), f"{name} imports {imported}"
        assert LEVEL_OF[imported] <= LEVEL_OF[name], f"{name} (L{LEVEL_OF[name]}) imports {imported}"


def test_there_are_no_cycles():
    graph = {name: imports_of(path) & set(modules()) for name, path in modules().items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"cycle: {' -> '.join((*trail, name))}"
        if name not in done:
            for imported in graph[name]:
                visit(imported, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


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
