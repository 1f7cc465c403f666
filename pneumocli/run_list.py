"""``runs()``: the runs of a folder at a glance, finished, unfinished and broken; torch is never loaded."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pneumocli.core.config import RunsConfig, RunSort, TrainConfig
from pneumocli.core.errors import PneumoError, RunError, shell_word
from pneumocli.core.files import read_record, sizes_below
from pneumocli.core.records import SPLITS, Count, EpochRecord, Finite, Fraction, Record
from pneumocli.metrics.records import Evaluation, Metric
from pneumocli.run_folder import RunFolder

RunState = Literal["finished", "training", "unfinished", "broken"]

_SHOWN = ("auroc", "accuracy", "sensitivity", "specificity", "balanced_accuracy")


class RunAtAGlance(Record):
    """One run of ``pneumo runs``."""

    name: str
    path: str
    state: RunState
    problem: str | None
    """What is wrong with a broken run; ``None`` for the others."""
    todo: str | None
    """What to do about an unfinished or broken run, best a command."""
    recipe: str
    """Weights, image size and the named recipe; empty where the settings cannot be read."""
    num_epochs: Count
    """Finished so far."""
    num_epochs_planned: Count
    best_epoch: Annotated[int, Field(ge=1)] | None
    val_auroc: Fraction | None
    """At the best epoch, of an unfinished run the best so far."""
    val_accuracy: Fraction | None
    val_intervals: dict[str, tuple[Fraction, Fraction]]
    """Ends of the 95 % intervals of both, those that are known."""
    evaluations: dict[str, dict[str, Metric]]
    """Metrics with intervals by the evaluation's name, ``test`` and others."""
    size_bytes: Count
    age_seconds: Finite
    """Since the run was last written to."""


def runs(config: RunsConfig) -> tuple[RunAtAGlance, ...]:
    """The runs in a folder, sorted.

    Args:
        config: The folder (or a run), and the order.

    Raises:
        RunError: There is no such folder, or no run in it.
    """
    folder = config.folder
    if not folder.is_dir():
        hint = _elsewhere(folder.parent) or "pneumo train makes one: runs/scratch or runs/transfer"
        raise RunError(f"no folder of runs at {folder}", hint)
    folders = [folder] if RunFolder(folder).config_file.is_file() else sorted(filter(_is_run, folder.iterdir()))
    if not folders:
        raise RunError(
            f"no runs in {folder}: none of its folders holds what a training writes",
            _elsewhere(folder) or "pneumo train makes one",
        )
    return tuple(sorted((_glance(RunFolder(path)) for path in folders), key=lambda run: _place(run, config.sort)))


def _elsewhere(folder: Path) -> str | None:
    """The command that lists runs a folder further below, such as those of the demo, where there are some."""
    try:
        below = (path for pattern in ("*/*/", "*/runs/*/") for path in sorted(folder.glob(pattern)))
        found = next(filter(_is_run, below), None)
    except OSError:
        return None
    return None if found is None else f"pneumo runs {shell_word(found.parent)}"


def _is_run(path: Path) -> bool:
    run = RunFolder(path)
    files = (run.config_file, run.best_file, run.onnx_file, run.history_file)
    return path.is_dir() and (run.can_resume or any(file.is_file() for file in files))


def _place(run: RunAtAGlance, order: RunSort) -> tuple[bool, float, str]:
    """Names and ages ascending, everything else from the highest; what is undefined comes last."""
    if order == "name":
        return False, 0.0, run.name
    if order == "age":
        return False, run.age_seconds, run.name
    if order == "size":
        return False, -float(run.size_bytes), run.name
    known = {"val-auroc": run.val_auroc, "val-accuracy": run.val_accuracy}
    found = known[order] if order in known else _of_test(run, order)
    return found is None, -(found or 0.0), run.name


def _of_test(run: RunAtAGlance, metric: str) -> float | None:
    found = run.evaluations.get("test", {}).get(metric)
    return None if found is None else found.value


def _glance(run: RunFolder) -> RunAtAGlance:
    config: TrainConfig | None = None
    evaluations: dict[str, dict[str, Metric]] = {}
    problem: PneumoError | None = None
    best_epoch, val_auroc, val_accuracy, val_intervals, num_epochs = None, None, None, {}, 0
    state: RunState = "finished" if run.finished else "unfinished"
    try:
        config = run.config()
        histories = [one.history() for one in (run, *run.folds)]
        num_epochs = max(map(len, histories))
        if run.finished:
            result = run.result()
            best_epoch, val_auroc, val_accuracy = result.best_epoch, result.val_auroc, result.val_accuracy
            val_intervals, num_epochs = result.val_intervals, result.num_epochs
            _check_files(run)
        elif (best := _best_so_far(histories[0], config)) is not None:
            best_epoch, val_auroc, val_accuracy = best.epoch, best.val_auroc, best.val_accuracy
        evaluations, problem = _evaluations(run)
    except PneumoError as error:
        problem, state = error, "broken"
    if state == "unfinished" and _is_training(run):
        state = "training"
    return RunAtAGlance(
        name=run.name,
        path=run.path.as_posix(),
        state=state,
        problem=problem.message if problem else None,
        todo=_todo(run, state, problem),
        recipe=_recipe(config) if config else "",
        num_epochs=num_epochs,
        num_epochs_planned=config.epochs if config else 0,
        best_epoch=best_epoch,
        val_auroc=val_auroc,
        val_accuracy=val_accuracy,
        val_intervals=val_intervals,
        evaluations=evaluations,
        size_bytes=sum(sizes_below(run.path)),
        age_seconds=max(0.0, time.time() - _last_written(run)),
    )


def _best_so_far(history: Sequence[EpochRecord], config: TrainConfig) -> EpochRecord | None:
    best = None
    for record in history:
        if record.beats(best, config.select):
            best = record
    return best


def _check_files(run: RunFolder) -> None:
    """Whether the files that a result names are there, its own and its folds'; content is proven when they are used.

    Raises:
        RunError: One is missing, or a fold has no result.
    """
    files = [one.path / name for one in (run, *run.folds) for name in one.result().sha256]
    for file in files:
        if not file.is_file():
            name = file.relative_to(run.path).as_posix()
            raise RunError(f"{name} is missing", f"restore {name} from a backup, or train again")


def _evaluations(run: RunFolder) -> tuple[dict[str, dict[str, Metric]], PneumoError | None]:
    """The stored evaluations of its model, and the first that cannot be read: the run itself is as good as ever."""
    model = run.model_sha256 if run.finished else None  # one that was trained on keeps what its model before was worth
    found: dict[str, dict[str, Metric]] = {}
    problem: PneumoError | None = None
    for folder in run.evaluation_folders():
        if not folder.metrics_file.is_file():
            continue
        try:
            evaluation = read_record(folder.metrics_file, Evaluation)
        except RunError as error:
            again = f"pneumo evaluate {shell_word(run.path)} --split {folder.path.name} writes it anew"
            other = f"evaluate these films again, or remove {shell_word(folder.path)}"
            error.hint = again if folder.path.name in SPLITS else other
            problem = problem or error
        else:
            if evaluation.model_sha256 == model:
                metrics: Mapping[str, Metric] = evaluation.metrics
                found[folder.path.name] = {name: metrics[name] for name in _SHOWN if name in metrics}
    return found, problem


def _is_training(run: RunFolder) -> bool:
    """Whether a process trains into the run now, or into one of a group: it holds the lock."""
    if not run.manifest_file.is_file():
        return False
    try:
        with run.locked():
            return any(map(_is_training, run.folds))
    except RunError:
        return True
    except PneumoError:  # one that may only be read
        return False


def _todo(run: RunFolder, state: RunState, problem: PneumoError | None) -> str | None:
    if problem is not None:
        if isinstance(problem.__cause__, PermissionError):
            return f"ls -l {shell_word(run.path)} shows who may read it"
        return problem.hint or f"remove the folder, or restore it from a backup: {shell_word(run.path)}"
    return run.continue_hint if state == "unfinished" else None


def _recipe(config: TrainConfig) -> str:
    named = "" if config.recipe == "assignment" else f" {config.recipe}"
    return f"{'transfer' if config.pretrained else 'scratch'}{named} {config.image_size} px"


def _last_written(run: RunFolder) -> float:
    files = (run.result_file, run.history_file, run.checkpoint_file, run.within_epoch_file, run.config_file)
    times = []
    for file in files:
        with suppress(FileNotFoundError):  # each is there or not, from one moment to the next
            times.append(file.stat().st_mtime)
    return max(times, default=run.path.stat().st_mtime)
