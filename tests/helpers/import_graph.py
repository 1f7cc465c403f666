"""The import graph of the package: which room imports which, counted. ``python -m tests.helpers.import_graph``."""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "pneumocli"

# Floors from the bottom; a room imports only rooms on lower floors. A folder lists its modules, a module stands alone.
FLOORS: dict[int, dict[str, str]] = {
    1: {
        "core": (
            "amounts config errors events field_docstrings files locks memory multiple_tests pages parallel recipes"
            " records setting_faults settings settings_file shift_records signals version"
        ),
    },
    2: {
        "data": (
            "acquisition acquisition_cache dicom dicom_values film film_files formats grey images jpeg jpeg2000"
            " layout manifest nodules patients phantom polarity release_lists score_table splits table thumbnails tiff"
        ),
        "model": (
            "brightness_map card device int8_graph network onnx_file out_of_distribution packed_numbers reference views"
            " weights"
        ),
    },
    3: {
        "metrics": (
            "bootstrap calibration classification delong edges groups label_shift paired_tests patient_level"
            " recalibration records refitted scored_films scores square_and_add suspect_labels thresholds"
        ),
        "run_folder": "",
        "shift": "conformal detection reference sample shortcut two_sample",
    },
    4: {
        "inference": (
            "answers_page classifier csv_output film_scorer folder_shift heat_map inputs merge predict records remote"
            " scoring shards shift_page tally"
        ),
        "verification": (
            "checks duplicates film_properties page provenance records release_match subject verify"
        ),
    },
    5: {
        "release": "download http http_errors installed kaggle records sources staging unzip zip_file",
        "reporting": (
            "batch_picture carry_over comparison_figures comparison_page comparison_verdict evaluation_page figures"
            " film_pictures html model_card refer_section refer_text suspect_page shift_section text"
        ),
    },
    6: {
        "evaluation": "compare evaluate measure quantize recalibrate referral store subject table",
    },
    7: {
        "training": (
            "alterations augmentation averaging checkpoint continuation dataset device_films distributed ensemble"
            " export film_cache finish fold_group folds gpu_probe hard_films interruption loader loop plan records"
            " referral schedule seeds step tally tensorboard timing train unseen"
        ),
    },
    8: {"demo": "", "diagnosis": "", "run_list": "", "tuning": "page records space study trial tune"},
    9: {
        "cli": (
            "app boundary collector compare completion demo doctor download encoding epoch_table evaluate help_texts"
            " lines options other_tools output predict predict_tables progress quantize recalibrate render runs streams"
            " train tune usage verify_data verify_data_tables"
        ),
    },
    10: {
        "__main__": "",
        "library": "display downloaded predictions progress quantized recalibrated results settings tuned verbs",
    },
    11: {"__init__": ""},
}  # fmt: skip
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}


@cache
def modules_on_disk() -> dict[str, Path]:
    """Every module with code of the package by its name below it: ``core.files``, ``demo``, ``__init__``."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py" or path.parent == PACKAGE
    }


def modules_in_table() -> set[str]:
    """Every module that the table of floors names."""
    return {
        f"{room}.{module}" if modules else room
        for rooms in FLOORS.values()
        for room, modules in rooms.items()
        for module in (modules.split() or [""])
    }


def room_of(module: str) -> str:
    """The room that a module stands in."""
    return module.partition(".")[0]


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Everything that a file of Python says, in the order of :func:`ast.walk`."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it: for typing and inside functions, too."""
    known = modules_on_disk()
    return {name for node in nodes_of(path) for name in _imported(node, known)}


def _imported(node: ast.AST, known: Mapping[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        targets = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide the floor they come from"
        targets = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        targets = [node.value]  # the lazy public names stand as strings
    else:
        return
    for target in targets:
        package, _, name = target.partition(".")
        if package != "pneumocli":
            continue
        while name and name not in known:
            name = name.rpartition(".")[0]
        if name or not isinstance(node, ast.Constant):
            yield name or "__init__"


def graph() -> dict[str, set[str]]:
    """By module: the modules that it imports."""
    return {name: imports_of(path) - {name} for name, path in modules_on_disk().items()}


def room_imports() -> dict[str, set[str]]:
    """By room: the other rooms that it imports."""
    rooms: dict[str, set[str]] = {room: set() for room in FLOOR_OF}
    for module, imported in graph().items():
        rooms[room_of(module)] |= {room_of(name) for name in imported} - {room_of(module)}
    return rooms


def upward_imports() -> list[str]:
    """Imports between rooms that do not lead to a lower floor."""
    return [
        f"{module} (floor {FLOOR_OF[room_of(module)]}) imports {name} (floor {FLOOR_OF[room_of(name)]})"
        for module, imported in graph().items()
        for name in sorted(imported)
        if room_of(name) != room_of(module) and FLOOR_OF[room_of(name)] >= FLOOR_OF[room_of(module)]
    ]


def circles() -> list[str]:
    """Circles of imports between modules, each once, as ``a -> b -> a``."""
    arrows, found, done = graph(), [], set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            found.append(" -> ".join((*trail[trail.index(name) :], name)))
        elif name not in done:
            for imported in sorted(arrows.get(name, ())):
                visit(imported, (*trail, name))
            done.add(name)

    for name in arrows:
        visit(name, ())
    return found


def counted() -> str:
    """The graph in figures, then what breaks its rules."""
    rooms = room_imports()
    lines = [
        f"rooms {len(rooms)}, floors {len(FLOORS)}, imports between rooms {sum(map(len, rooms.values()))}",
        f"upward imports {len(upward_imports())}, circles {len(circles())}",
    ]
    return "\n".join([*lines, *upward_imports(), *circles()])


if __name__ == "__main__":
    sys.stdout.write(counted() + "\n")
