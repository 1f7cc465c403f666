"""The run folder: the only code that knows the names inside a run."""

import csv
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from pneumocli.core.config import DEFAULT_RUNS, TrainConfig
from pneumocli.core.errors import ModelFileError, RunError, resume_command, shell_word
from pneumocli.core.files import (
    dump_json,
    read_csv,
    read_record,
    sha256_of,
    write_csv,
    write_failure,
    write_json,
    write_text,
)
from pneumocli.core.locks import locked, mark_of
from pneumocli.core.records import SPLITS, Environment, EpochRecord, RunResult
from pneumocli.core.settings import InferencePrecision

if TYPE_CHECKING:
    from pneumocli.data.manifest import Manifest

_MODEL_FILES: dict[InferencePrecision, str] = {"fp32": "model.onnx", "int8": "model-int8.onnx"}
_EVALUATIONS: dict[InferencePrecision, str] = {"fp32": "evaluations", "int8": "evaluations-int8"}

_WRITABLE = "choose a place that you may write to with --run-dir"
_HISTORY_COLUMNS = tuple(EpochRecord.model_fields)


class _StoredConfig(TrainConfig):
    """``config.json``: the settings as validated, and the version of their form."""

    schema_version: Literal[1]


class EvaluationFolder:
    """The files of one evaluation: where they are.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.predictions_file = path / "predictions.csv"
        self.metrics_file = path / "metrics.json"
        self.report_file = path / "report.html"

    def figure_file(self, name: str) -> Path:
        """Where a figure, such as ``roc``, is kept as a picture."""
        return self.path / f"{name}.png"


def default_table_evaluation(name: str) -> Path:
    """Where the evaluation of a table of scores is kept: ``evaluations/NAME`` below the present folder."""
    return Path("evaluations") / name


def is_table_evaluation(path: Path) -> bool:
    """Whether a folder holds the evaluation of a table of scores instead of a run."""
    return EvaluationFolder(path).metrics_file.is_file() and not RunFolder(path).config_file.is_file()


def refuse_table_file(path: Path) -> None:
    """Refuses a file where a run is expected, such as a table of scores that was not evaluated.

    Raises:
        RunError: It is a file.
    """
    if path.is_file():
        evaluated = default_table_evaluation(path.stem).as_posix()
        raise RunError(
            f"{path} is a file: expected the folder of a run, or of a table's evaluation",
            f"of a table of scores: pneumo evaluate --predictions {shell_word(path)} makes {shell_word(evaluated)}",
        )


def refuse_taken(path: Path | None) -> None:
    """Refuses a folder for a new run that exists; ``None``, a name yet to be found, is free.

    Raises:
        RunError: It exists.
    """
    if path is not None and os.path.lexists(path):  # a link to nowhere stands in the way, too
        raise RunError(
            f"the run folder {path} exists already",
            f"{resume_command(path)} continues it; otherwise choose another --run-dir",
        )


@contextmanager
def being_made(path: Path) -> Iterator[None]:
    """Has no other process make or remove a run beside ``path`` meanwhile; waits for one that does.

    A folder that is found without a lock is then one that a process has left, not one that it is about to lock.

    Args:
        path: The folder of a run, which need not exist; the folder above it is made.

    Raises:
        RunError: The folder above cannot be written.
    """
    lock = path.parent / ".starting"
    with ExitStack() as stack:
        try:
            message = f"another process starts a run in {path.parent}"
            stack.enter_context(locked(lock, message, waiting=lambda _: None, remove=True))
        except OSError as error:
            raise RunError(f"cannot make the run folder {path}: {error.strerror}", _WRITABLE) from error
        yield


class RunFolder:
    """A run on disk: where its files are, and how they are read and written.

    Args:
        path: The folder; it need not exist. :meth:`open` is for a run that must.
        precision: Which of its model files is meant, and with it which evaluations.
    """

    def __init__(self, path: Path, precision: InferencePrecision = "fp32") -> None:
        self.path = path
        self.precision = precision
        self.config_file = path / "config.json"
        self.environment_file = path / "environment.json"
        self.manifest_file = path / "manifest.csv"
        self.history_file = path / "history.csv"
        self.batch_file = path / "training-batch.png"
        self.curves_file = path / "curves.png"
        self.checkpoint_file = path / "last.pt"
        self.within_epoch_file = path / "within-epoch.pt"
        self.best_file = path / "best.pt"
        self.onnx_file = path / _MODEL_FILES[precision]
        self.card_file = path / "MODEL_CARD.md"
        self.card_page = path / "model-card.html"
        self.result_file = path / "result.json"
        self.tensorboard_folder = path / "tensorboard"
        self.out_of_fold_file = path / "out-of-fold.csv"
        self.group_card_file = path / "card.json"
        self.group_reference_file = path / "reference.json"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The folder's own name, also where the path is ``.`` or ends in ``..``."""
        return self.path.resolve().name

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """The run at ``path``.

        Raises:
            RunError: There is no run.
        """
        path = Path(path)
        run = cls(path)
        if not path.is_dir():
            raise RunError(f"no run folder at {path}", "pneumo train makes one; pneumo runs shows what there is")
        if not run.config_file.is_file():
            raise RunError(f"{path} is no run folder: it holds no config.json", "name a folder that pneumo train made")
        return run

    @classmethod
    def open_finished(cls, path: Path | str) -> "RunFolder":
        """The finished run at ``path``.

        Raises:
            RunError: There is no run, or it has not finished.
        """
        path = Path(path)
        run = cls.open(path)
        if not run.finished and run.is_group:
            lacking = [f"{fold.path.name} {fold.state}" for fold in run.folds if not fold.finished]
            raise RunError(
                f"the group {path} has not finished: " + (", ".join(lacking) or "its runs have, it was not completed"),
                resume_command(path),
            )
        if not run.finished:
            raise RunError(
                f"the run {path} has not finished: it has no result.json after {len(run.history())} epochs",
                run.continue_hint,
            )
        return run

    @classmethod
    def latest_finished(cls, root: Path | str = DEFAULT_RUNS) -> "RunFolder":
        """The run under ``root`` that finished last, by what its ``result.json`` says: a copy has the time of copying.

        Raises:
            RunError: There is none.
        """
        results = sorted(Path(root).glob("*/result.json"), key=_finished_at)
        if not results:
            raise RunError(f"no finished run under {root}", "name one with --run RUN, or train one with pneumo train")
        return cls(results[-1].parent)

    @classmethod
    def create(cls, path: Path | None, *, pretrained: bool) -> "RunFolder":
        """Makes a new, empty run folder.

        Args:
            path: The folder; ``None`` for ``runs/scratch`` or ``runs/transfer``, with ``-2``, ``-3`` ... when taken.
            pretrained: Which of the two names.

        Raises:
            RunError: ``path`` exists, or cannot be made.
        """
        candidates = iter((path,)) if path is not None else _numbered(default_run(pretrained=pretrained))
        for candidate in candidates:
            try:
                candidate.mkdir(parents=True)
            except FileExistsError:
                refuse_taken(path)
            except OSError as error:
                raise RunError(f"cannot make the run folder {candidate}: {error.strerror}", _WRITABLE) from error
            else:
                return cls(candidate)
        raise AssertionError("unreachable: the numbered candidates do not end")

    @contextmanager
    def locked(self, *, waiting: Callable[[str], None] | None = None) -> Iterator[str | None]:
        """Holds the run against a second training; the lock dies with the process.

        Args:
            waiting: Wait for another process instead of raising, see :func:`pneumocli.core.locks.locked`.

        Yields:
            A warning where the file system has no locks.

        Raises:
            RunError: Another process trains into this run.
        """
        try:
            self.manifest_file.open("ab").close()
        except OSError as error:
            raise write_failure(self.manifest_file, error) from error
        # The manifest is written once and never replaced, so a lock on it needs no file of its own.
        message = f"another process is training into {self.path}"
        with locked(self.manifest_file, message, "wait for it, or stop it", waiting=waiting) as warning:
            yield warning

    def remove_leftovers(self) -> None:
        """Removes temporary files of a killed process; call it with the lock held."""
        for pattern in (".*.part", "evaluations*/*/.*.part"):
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)

    def holds_less_than_an_epoch(self) -> bool:
        """Whether the folder is empty, or holds what a training writes before its first epoch is done, and no more.

        A file that no training writes, or a ``config.json`` that no training wrote, makes it another's folder.
        """
        if self.path.is_symlink() or not self.path.is_dir():
            return False
        starts_with = (self.config_file, self.environment_file, self.manifest_file, self.batch_file)
        mark = mark_of(self.manifest_file)  # of a process that was killed, where there are no locks
        whole = {file.name for file in (*starts_with, self.tensorboard_folder, mark)}
        checkpoints = {self.checkpoint_file.name, self.within_epoch_file.name}
        parts = re.compile(rf"\.({'|'.join(map(re.escape, whole | checkpoints))})\..*\.part")
        names = {item.name for item in self.path.iterdir() if not parts.fullmatch(item.name)}
        if not names <= whole:
            return False
        try:
            return not names or self.config() is not None
        except RunError:
            return False

    def remove_start(self) -> None:
        """Removes the folder of a training that was stopped before its first epoch was done.

        Killed half-way, it leaves a folder that can still be recognised.

        Raises:
            RunError: Another process trains into the run, or the folder cannot be removed.
        """
        try:
            with being_made(self.path):
                if not self.path.exists():
                    return  # another process has removed it
                if self.manifest_file.exists():
                    with self.locked():
                        self._remove_all_but_manifest_and_config()
                self._remove_all_but_manifest_and_config()
                for file in (mark_of(self.manifest_file), self.manifest_file, self.config_file):
                    file.unlink(missing_ok=True)
                self.path.rmdir()
        except OSError as error:
            raise RunError(
                f"cannot replace {self.path}, the start of a training: {error.strerror}", "choose another --run-dir"
            ) from error

    def _remove_all_but_manifest_and_config(self) -> None:
        self.remove_leftovers()
        self.environment_file.unlink(missing_ok=True)
        self.batch_file.unlink(missing_ok=True)
        if self.tensorboard_folder.is_dir():
            shutil.rmtree(self.tensorboard_folder)

    @property
    def is_group(self) -> bool:
        """Whether this is a group of folds: a folder of runs that is used as one run."""
        if not self.config_file.is_file():
            return False
        config = self.config()
        return config.folds is not None and config.fold is None

    @property
    def folds(self) -> "tuple[RunFolder, ...]":
        """The runs of a group, which need not exist; none for a single run."""
        return tuple(self.fold(number + 1) for number in range(self.config().folds or 0)) if self.is_group else ()

    def fold(self, number: int) -> "RunFolder":
        """Where a group's run that holds out fold ``number``, from 1, is kept."""
        return RunFolder(self.path / f"fold-{number}")

    def recalibrated(self, name: str) -> "RunFolder":
        """Where the model recalibrated on the films of the place ``name`` is kept; it is used as a run is."""
        return RunFolder(self.path / "recalibrated" / name)

    @property
    def group(self) -> "RunFolder | None":
        """The group that this run is a fold of; ``None`` for any other run."""
        above = self.path.resolve().parent if self.path.name in ("", "..") else self.path.parent
        try:
            number = self.config().fold if self.config_file.is_file() else None
            group = RunFolder(above)
            return (
                group if number is not None and self.name == group.fold(number).path.name and group.is_group else None
            )
        except RunError:
            return None

    @property
    def state(self) -> str:
        """How far a run has come, for a message."""
        if self.finished:
            return "is finished"
        if not self.config_file.is_file():
            return "is missing"
        return f"has no {self.result_file.name} after {len(self.history())} epochs"

    def in_precision(self, precision: InferencePrecision) -> "RunFolder":
        """This finished run with another of its model files, whose evaluations are kept apart.

        Raises:
            RunError: A group of folds has no such file.
            ModelFileError: The run has no such file, or it is not the one that was written.
        """
        if precision == self.precision:
            return self
        if self.is_group:
            raise RunError(
                f"the group {self.path} cannot be run as int8: expected a single run", "name one of its folds"
            )
        run = RunFolder(self.path, precision)
        run.model_file()
        return run

    @property
    def is_there(self) -> bool:
        """Whether the folder is a run's: a ``config.json`` alone may be anybody's."""
        return self.config_file.is_file() and self.manifest_file.is_file()

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return self.result_file.is_file()

    @property
    def can_resume(self) -> bool:
        """Whether there is a checkpoint, of an epoch's end or from within one."""
        return self.checkpoint_file.is_file() or self.within_epoch_file.is_file()

    @property
    def continue_hint(self) -> str:
        """What continues a training that was stopped: before its first checkpoint there is nothing to resume."""
        try:
            if (group := self.group) is not None:
                return resume_command(group.path)
            can_resume = self.can_resume or any(fold.path.is_dir() for fold in self.folds)
        except RunError:  # its settings cannot be read
            can_resume = self.can_resume
        except OSError:  # the drive does not answer: once it does, there most likely is something to resume
            can_resume = True
        if can_resume:
            return resume_command(self.path)
        if self.config_file.is_file():
            path = shell_word(self.path)
            return f"pneumo train --like {path} --run-dir {path} --continue"
        return "no epoch is finished: the same command with --continue starts again"

    def write_config(self, config: TrainConfig) -> None:
        """Writes ``config.json``."""
        write_json(self.config_file, _StoredConfig(schema_version=1, **config.model_dump()))

    def config(self) -> TrainConfig:
        """The settings of the run.

        Raises:
            RunError: ``config.json`` is missing, damaged or from another version.
        """
        stored = read_record(self.config_file, _StoredConfig)
        return TrainConfig.model_validate(stored.model_dump(exclude={"schema_version"}))

    def environment(self) -> Environment:
        """Where and how the run was made."""
        return read_record(self.environment_file, Environment)

    def result(self) -> RunResult:
        """The outcome of a finished run."""
        return read_record(self.result_file, RunResult)

    def manifest(self, data: Path | None = None) -> "Manifest":
        """The films of the run; their paths are below ``data``, or the folder the run was trained on."""
        from pneumocli.data.manifest import Manifest

        return Manifest.read(self.manifest_file, data if data is not None else self.config().data)

    def write_history(self, history: tuple[EpochRecord, ...]) -> None:
        """Writes ``history.csv`` whole."""
        write_csv(self.history_file, _HISTORY_COLUMNS, (record.model_dump() for record in history))

    def history(self) -> tuple[EpochRecord, ...]:
        """The finished epochs, in order; empty before the first.

        Raises:
            RunError: ``history.csv`` is damaged.
        """
        if not self.history_file.is_file():
            return ()
        try:
            return tuple(
                EpochRecord.model_validate({name: value or None for name, value in row.items()})
                for row in read_csv(self.history_file)
            )
        except (ValidationError, ValueError, csv.Error) as error:
            raise RunError(f"{self.history_file} is damaged") from error

    @property
    def model_sha256(self) -> str:
        """SHA-256 of ``model.onnx`` as the training wrote it; of a group without one, of its card.

        Raises:
            RunError: The run has not finished.
        """
        known = self.result().sha256
        return known[self.onnx_file.name] if self.onnx_file.name in known else known[self.group_card_file.name]

    @property
    def has_model_file(self) -> bool:
        """Whether a finished run has a ``model.onnx``: a group has one if it was asked for."""
        return self.onnx_file.name in self.result().sha256

    def is_model_file(self, file: Path) -> bool:
        """Whether ``file`` has the name of a model file of this run."""
        return file.name in (*_MODEL_FILES.values(), self.best_file.name)

    def model_file(self, name: str | None = None) -> Path:
        """A finished run's ``model.onnx`` (unless ``name`` is given) or ``best.pt``, proven by its SHA-256.

        Raises:
            RunError: The run has not finished.
            ModelFileError: The file is missing or its SHA-256 is not the one that the training recorded.
        """
        name = name if name is not None else self.onnx_file.name
        file = self.path / name
        expected = self.result().sha256.get(name)
        maker, restore = "the training", f"restore {name} from a backup, or train again"
        if name == _MODEL_FILES["int8"]:
            maker = restore = f"pneumo quantize {shell_word(self.path)}"
            if expected is None:
                raise ModelFileError(f"{self.path} has no {name}: expected a quantized run", restore)
        if expected is None and name == self.best_file.name:
            raise ModelFileError(f"{self.path} has no {name}: its model runs on the CPU only", "--device cpu")
        if not file.is_file():
            raise ModelFileError(f"{file} is missing", restore)
        try:
            found = sha256_of(file)
        except OSError as error:
            raise ModelFileError(f"cannot read {file}: {error.strerror}") from error
        if found != expected:
            raise ModelFileError(
                f"{file} is not the file that {maker} wrote: its SHA-256 begins {found[:12]}, "
                f"{self.result_file.name} records {str(expected)[:12]}",
                restore,
            )
        return file

    def evaluation_folder(self, place: str) -> "EvaluationFolder":
        """Where the evaluation of a split, or of other films by their name, is kept; it need not exist."""
        return EvaluationFolder(self.path / _EVALUATIONS[self.precision] / place)

    def evaluation_folders(self) -> "list[EvaluationFolder]":
        """Those of the splits, which need not exist, then those of other films in the order of their names."""
        root = self.path / _EVALUATIONS[self.precision]
        others = sorted(item.name for item in root.iterdir() if item.is_dir()) if root.is_dir() else []
        return [self.evaluation_folder(place) for place in (*SPLITS, *(name for name in others if name not in SPLITS))]

    def reference_text(self) -> str | None:
        """What the model keeps of its held-out films, as JSON; ``None`` where it keeps none, as in version 0.1.0.

        Raises:
            RunError: The run has not finished.
            ModelFileError: The file that holds it is missing or another than the training wrote.
        """
        known = self.result().sha256
        if self.onnx_file.name in known:
            from pneumocli.model.onnx_file import reference_text

            return reference_text(self.model_file())
        if self.group_reference_file.name in known:
            return self.model_file(self.group_reference_file.name).read_text(encoding="utf-8")
        return None

    def write_model_card(self, text: str, page: str) -> None:
        """Writes ``MODEL_CARD.md`` and the same as a page."""
        write_text(self.card_file, text)
        write_text(self.card_page, page)

    def write_environment(self, environment: Environment) -> None:
        """Writes ``environment.json``."""
        write_text(self.environment_file, dump_json(environment))

    def record_int8_file(self) -> None:
        """Enters the file of ``pneumo quantize`` into ``result.json``."""
        file = RunFolder(self.path, "int8").onnx_file
        result = self.result()
        self.write_result(result.model_copy(update={"sha256": result.sha256 | {file.name: sha256_of(file)}}))

    def write_result(self, result: RunResult) -> None:
        """Writes ``result.json``; call it last."""
        write_text(self.result_file, dump_json(result))


def _finished_at(result_file: Path) -> tuple[float, int]:
    """When a run finished, and its file's time for those of one second; that time alone where the file is damaged."""
    written = result_file.stat()
    try:
        finished = datetime.fromisoformat(RunFolder(result_file.parent).result().finished_utc)
        return finished.timestamp(), written.st_mtime_ns
    except (RunError, ValueError):
        return written.st_mtime, written.st_mtime_ns


def default_run(*, pretrained: bool) -> Path:
    """The first default name of a run: ``runs/transfer`` or ``runs/scratch``."""
    return DEFAULT_RUNS / ("transfer" if pretrained else "scratch")


def default_group(*, pretrained: bool) -> Path:
    """The default name of a group of folds: ``runs/transfer-folds`` or ``runs/scratch-folds``."""
    base = default_run(pretrained=pretrained)
    return base.with_name(f"{base.name}-folds")


def last_default_run(*, pretrained: bool) -> Path | None:
    """The last run under the default names, ``runs/scratch``, ``runs/scratch-2`` ...; ``None`` without any."""
    taken = list(itertools.takewhile(os.path.lexists, _numbered(default_run(pretrained=pretrained))))
    return taken[-1] if taken else None


def _numbered(base: Path) -> Iterator[Path]:
    yield base
    number = 2
    while True:
        yield base.with_name(f"{base.name}-{number}")
        number += 1


def run_from_environment() -> Path | None:
    """The run that ``$PNEUMO_RUN`` names, if it is set."""
    value = os.environ.get("PNEUMO_RUN")
    return Path(value) if value else None
