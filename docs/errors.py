"""Every error of the program, read from its source, with why and what to do: the tables of ``troubleshooting.md``.

An error's cure is its hint where the code gives one, else the entry of :data:`CURES`. One whose words are put together
elsewhere stands in :data:`SPELLED` by the place that raises it.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.causes import cause

PACKAGE = Path(__file__).parents[1] / "pneumocli"
GAP = "…"  # what is filled in when the error is reported

# The classes of pneumocli.core.errors, as headings in the order of the page.
HEADINGS = {
    "SettingError": "Flags and settings (exit code 2)",
    "DataError": "Films, folders and tables",
    "DownloadError": "Download",
    "RunError": "Runs and evaluations",
    "ModelFileError": "Model files and weights",
    "DeviceError": "Devices",
    "OutOfMemory": "Memory",
    "TrainingDiverged": "Training",
    "CheckFailed": "Checks of the program's own work",
    "FirstProcessFailed": "Several processes",
    "PneumoError": "Files and packages",
    "DriveLost": "Drives",
}


@dataclass(frozen=True)
class Error:
    """A place that reports an error.

    Attributes:
        kind: Name of its class.
        place: Module and line, ``data/layout.py:110``.
        message: Its words, with :data:`GAP` for what is filled in; ``None`` where they are put together elsewhere.
        hint: Likewise its hint, where there is one.
    """

    kind: str
    place: str
    message: str | None
    hint: str | None


def _words(node: ast.expr | None, names: dict[str, ast.expr]) -> str | None:
    """A text as the source spells it; ``None`` where it does not."""
    match node:
        case ast.Constant(value=str(text)):
            found = text
        case ast.JoinedStr(values=parts):
            found = "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            found = (_words(left, names) or GAP) + (_words(right, names) or GAP)
        case ast.IfExp(body=body, orelse=other):
            found = " / ".join(filter(None, (_words(body, names), _words(other, names))))
        case ast.BoolOp(values=[*_, last]):
            found = _words(last, names) or ""
        case ast.Call(func=ast.Name(id="resume_command")) | ast.Attribute(attr="continue_hint"):
            found = "pneumo train --resume RUN, or the same training command again"
        case ast.Name(id=name) if name in names:
            found = _words(names[name], {key: value for key, value in names.items() if key != name}) or ""
        case _:
            found = ""
    while GAP * 2 in found:
        found = found.replace(GAP * 2, GAP)
    return found or None


def _assigned(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """The texts that names of a module or a function stand for, of all its nodes."""
    return {
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def errors_in_the_source() -> Iterator[Error]:
    """Every place of the package that makes an error, in the order of the files."""
    constants = {}
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    for tree in trees.values():
        top = ast.Module([node for node in tree.body if isinstance(node, ast.Assign)], [])
        constants |= {name: value for name, value in _assigned(ast.walk(top)).items() if name.lstrip("_").isupper()}
    for path, tree in trees.items():
        place = path.relative_to(PACKAGE).as_posix()
        nodes = list(ast.walk(tree))
        scopes = [node for node in nodes if isinstance(node, ast.FunctionDef)]
        of_module = constants | _assigned(nodes)
        for call in (node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            kind = call.func.id
            if kind == "ValueError" and place in ("core/config.py", "core/settings.py"):
                kind = "SettingError"  # pydantic's, which the boundary reports as one
            if kind not in HEADINGS:
                continue
            inside = [scope for scope in scopes if scope.lineno <= call.lineno <= (scope.end_lineno or 0)]
            names = dict(of_module)
            for scope in inside:
                names |= _assigned(ast.walk(scope))
            given = [_words(argument, names) for argument in call.args[:2]]
            message, hint = (*given, None, None)[:2]
            yield Error(kind, f"{place}:{call.lineno}", message, hint)


# What to do about errors whose words say all the program knows.
CURES = {
    "not all is well with this machine: …": "`pneumo doctor` lists the checks with what to do for each",
    "cannot write …: its drive does not answer any more (…)": (
        "connect the share or drive again, then the same command; a training goes on with `--resume`"
    ),
    "cannot read …: …": "look at the file's permissions; restore it from a backup if the disk is damaged",
    "no films in …: …": "give the folder back the permission to be read, or name another",
    "… have changed since the training: … of … … in … (…)": (
        "restore the films, or name the folder that the run was trained on with `--data DIR`"
    ),
    "… is damaged: it is no manifest with the columns …": "restore manifest.csv from a backup, or train again",
    "the model takes … …, its card expects uint8 (N,1,…,…)": "use the model.onnx that `pneumo train` wrote",
    "… is damaged: what it gives has the wrong shape or is not finite": "restore the run from a backup, or train again",
    "…: its card is damaged or from another version of pneumo": "update pneumo, or train again",
    "…: its validation outputs are damaged or from another version of pneumo": "train again",
    "… is no ONNX file that can be loaded": "name a run's model.onnx; copy it anew if it came from elsewhere",
    "the model file is damaged: its network cannot be run": "restore the run from a backup, or train again",
    "… is damaged": "restore the file from a backup, or run the command that wrote it again",
    "… has … bytes; a model file of pneumo has about 45,000,000": "copy the file anew: it is cut off, or another file",
    "… has … bytes; a model file of pneumo has about …": "copy the file anew: it is cut off, or another file",
    "the model file's description of its training films is damaged": "restore the file from a backup, or train again",
    (
        "a worker process that prepares films was killed: memory (in a container, shared memory) was short, "
        "or the disk of the cache failed"
    ): "free memory, or `docker run --shm-size 1g`, or `--workers 0`; then `pneumo train --resume RUN`",
    "--refer … needs … … of each class, found …": (
        "hold out more films with `--val-fraction`, or a larger share with `--refer`; the hint names both"
    ),
    "the model file's reference of its validation films is damaged or from another version": (
        "update pneumo, or train again"
    ),
    "this needs …, which is not installed here": (
        "the hint installs it; torch without a GPU: "
        "`pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu`"
    ),
    "… needs torch, expected a run or its model.onnx": "name the run's model.onnx instead of its best.pt",
    "… is another model here: its SHA-256 begins …, that of the scorer's …": (
        "copy the same model file to every machine, under the same path"
    ),
    "the tables were written with model …, … is …": "name the run that wrote them with `--run`, or its file with "
    "`--model`",
    "… is a shard and the table to write: choose another name for --merge": "choose another name for `--merge`",
    "cannot make the group's folder …: …": "choose a place that you may write to with `--run-dir`",
    "last.pt holds no averaged weights, which config.json asks for (--average-epochs)": (
        "restore config.json and last.pt of one run from a backup, or train again"
    ),
    "… is no checkpoint of this version of pneumo": "resume with the version that began the run, or train again",
    "… is damaged: … while reading it": "restore last.pt from a backup, or train again; best.pt is a file of its own",
    "no … films are left to train on in …": "`--skip-unreadable` left nothing of a class: fetch the films anew",
    (
        "the graph of the … networks gives logits that differ from their mean by …, "
        "expected less than …: … was not written"
    ): ("use the group without `--ensemble`: its model files run one after another"),
    (
        "the exported graph of … gives logits that differ from the network's by …, "
        "expected less than …: model.onnx was not written"
    ): ("`pneumo train --resume RUN` tries the export again; another version of torch or onnxruntime may help"),
    "torch exported no graph": "install torch, onnx and onnxscript in the versions that pneumo asks for",
}

_DAMAGED_FILM = "name films, folders, patterns such as `'films/*.jpeg'`, or `-`; `--csv FILE` names what failed and why"

# Errors whose words are put together elsewhere: module that raises them -> (class, words, what to do).
SPELLED = {
    "cli/predict.py": ("DataError", "… of … films could not be read: …", _DAMAGED_FILM),
    "cli/usage.py": (
        "SettingError",
        "no such option …; no such command …; … is missing; …: …, expected …",
        "the hint names the flag that is meant; `pneumo COMMAND --help` lists all",
    ),
    "core/locks.py": (
        "RunError",
        "another process is training into …",
        "wait for it, or stop it; the lock goes with its process",
    ),
    "core/settings.py": (
        "SettingError",
        "--flag: expected …, found …",
        "give the flag a value of the kind that is named",
    ),
    "inference/classifier.py": (
        "OutOfMemory",
        "… has too little memory for … films at once",
        "`--batch-size` with half of it",
    ),
    "inference/merge.py": (
        "RunError",
        "… is no whole table of a shard",
        "the command that wrote it, with `--resume`, finishes it; keep the table and the mark beside it together",
    ),
    "model/device.py": (
        "OutOfMemory",
        "the device has too little memory for the network / for a batch",
        "a smaller `--batch-size`, or `--accumulate 2`, or `--device cpu`",
    ),
    "model/packed_numbers.py": (
        "ModelFileError",
        "the model file's description of its training films is damaged",
        "restore the file from a backup, or train again",
    ),
    "release/staging.py": (
        "DownloadError",
        "cannot write …: …",
        "choose a folder that you may write to with `--data DIR`",
    ),
    "training/checkpoint.py": (
        "ModelFileError",
        "… is damaged: … while reading it (within-epoch.pt, before the first epoch was done)",
        "remove the file that is named; the same command with `--continue` starts again",
    ),
    "training/distributed.py": (
        "FirstProcessFailed",
        "process …: …",
        "the first process reports the reason; mend that and start all of them again",
    ),
    "training/film_cache.py": (
        "PneumoError",
        "cannot write … (the cache of decoded films): …",
        "`PNEUMO_CACHE=FOLDER pneumo train ...` keeps decoded films there; `--no-cache` does without",
    ),
    "tuning/tune.py": (
        "DataError",
        "--select hard needs … hard validation films of each class, found …",
        "`pneumo tune --objective log-loss` needs no hard films",
    ),
}
_BY_FLAGS = "`pneumo COMMAND --help` shows what is allowed"


def cure(error: Error) -> str | None:
    """What to do about an error; ``None`` where nothing is known, which a test forbids."""
    if error.hint is not None:
        return error.hint
    if error.kind == "SettingError":
        return _BY_FLAGS
    return CURES.get(error.message or "")


def tables() -> str:
    """All errors by class, with what to do, as Markdown."""
    rows: dict[str, dict[str, list[str]]] = {kind: {} for kind in HEADINGS}
    for error in errors_in_the_source():
        if error.message is not None:
            cures = rows[error.kind].setdefault(error.message, [])
            cures += [what for what in (cure(error),) if what and what not in cures]
    for kind, message, what in SPELLED.values():
        rows[kind].setdefault(message, [what])
    parts = []
    for kind, found in rows.items():
        parts.append(f"## {HEADINGS[kind]}\n\n| error | why | what to do |\n| --- | --- | --- |")
        parts += [
            f"| `{_cell(message)}` | {cause(message)} | {_cell('; or '.join(what))} |"
            for message, what in sorted(found.items(), key=_first)
        ]
        parts.append("")
    return "\n".join(parts).rstrip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _first(row: tuple[str, list[str]]) -> str:
    return row[0].lstrip(f"{GAP}: ").lower()


if __name__ == "__main__":
    print(tables())
