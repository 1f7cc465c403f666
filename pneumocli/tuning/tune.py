"""``tune()``: tries settings on patient-wise folds, and ends with the command of the best."""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pneumocli.core.config import TrainConfig, TuneConfig
from pneumocli.core.errors import DataError, OutOfMemory, PneumoError, SettingError, TrainingDiverged, shell_word
from pneumocli.core.events import (
    EpochFinished,
    FileWritten,
    Listener,
    Remark,
    TaskAdvanced,
    TaskFinished,
    TaskStarted,
    ignore,
)
from pneumocli.core.files import write_csv, write_json, write_text
from pneumocli.core.settings import validated
from pneumocli.core.settings_file import read_settings
from pneumocli.data.manifest import scan, with_hashes
from pneumocli.data.splits import in_folds, training_pool
from pneumocli.metrics.classification import spread
from pneumocli.tuning.page import tuning_page
from pneumocli.tuning.records import Repeats, TrialRecord, TuneResult
from pneumocli.tuning.space import SPACE, flags_of, settings_of, space_text, suggest
from pneumocli.tuning.trial import FoldScores, TrialEnded, started, until

if TYPE_CHECKING:
    import optuna


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TASK = "searching settings"


def tune(config: TuneConfig, listener: Listener = ignore) -> TuneResult:
    """Search settings of a training, as one of perhaps many workers of a study.

    Each trial trains one run per fold of the patients, in a process of its own, and is ended early where it does worse
    than the median of the others. Test films are never looked at. The best settings are scored with other seeds in
    the end. ``trials.csv``, ``tuning.json`` and ``tuning.html`` in the output folder hold the outcome.

    Args:
        config: The settings.
        listener: Gets progress.

    Returns:
        The outcome so far: of all trials that the study has.

    Raises:
        DataError: The films cannot be used or cut into folds, or there are no hard films to score.
        RunError: The study exists, is another one, or its storage cannot be opened.
        PneumoError: Optuna is not installed, or no trial came to an end.
    """
    if find_spec("optuna") is None:
        raise PneumoError("pneumo tune needs Optuna, which is not installed", "pip install 'pneumocli[tune]'")
    deadline = None if config.timeout is None else time.monotonic() + _seconds(config.timeout)
    from pneumocli.tuning.study import lost_storage

    search = _Search(config, deadline, listener)
    with lost_storage(search.place):
        search.run()
        return search.outcome()


def _seconds(text: str) -> float:
    """A length of time.

    >>> _seconds("90m"), _seconds("1.5h")
    (5400.0, 5400.0)
    """
    return float(text[:-1]) * _UNITS[text[-1]]


class _Search:
    """One worker's part in a study."""

    def __init__(self, config: TuneConfig, deadline: float | None, listener: Listener) -> None:
        from pneumocli.tuning.study import Study, open_study

        self._config = config
        self._deadline = deadline
        self._listener = listener
        self._fixed = _fixed(config)
        self._base = self._training({}, config.seed)
        pool = with_hashes(training_pool(scan(config.data, config.manifest, listener)), listener)
        in_folds(pool, self._base.val, config.folds, config.seed)  # refuses too few patients
        self._fingerprint = pool.fingerprint
        facts = {
            "films": self._fingerprint,
            "objective": config.objective,
            "folds": str(config.folds),
            "seed": str(config.seed),
            "fixed settings": repr(sorted((name, str(value)) for name, value in self._fixed.items())),
            "search space": space_text(self._fixed),
        }
        self.place = config.output / "study.journal" if config.storage is None else config.storage
        name = config.output.resolve().name
        found = open_study(self.place, name, config.objective, facts, may_exist=config.until_done)
        self._study: Study = Study(found, trials=config.trials, seed=config.seed, alone=config.storage is None)

    def run(self) -> None:
        """Works on trials until none is left to begin."""
        self._listener(TaskStarted(_TASK, self._config.trials, "trials"))
        while until(self._deadline) and (trial := self._study.take(self._config.seeds)) is not None:
            self._run(trial)
        self._listener(TaskFinished(_TASK))

    def outcome(self) -> TuneResult:
        """Writes what all workers have found so far."""
        study, best = self._study, self._study.best
        for trial in study.trials():  # a worker that was killed left its folder
            if trial.state.is_finished():
                shutil.rmtree(self._folder(trial.number), ignore_errors=True)
        rows = [self._record(trial) for trial in study.trials()]
        write_csv(self._config.output / "trials.csv", _COLUMNS, map(_row, rows))
        counts = {state: sum(row.state == state for row in rows) for state in ("complete", "pruned", "failed")}
        if best is None or best.value is None:
            why = next((row.error for row in rows if row.error), "")
            raise PneumoError(
                f"no trial of the study {study.name} came to an end" + (f": {why}" if why else ""),
                "the same command with --continue goes on",
            )
        result = TuneResult(
            study=study.name,
            objective=self._config.objective,
            folds=self._config.folds,
            data_fingerprint=self._fingerprint,
            num_complete=counts["complete"],
            num_pruned=counts["pruned"],
            num_failed=counts["failed"],
            best_trial=best.number,
            best_value=best.value,
            settings=settings_of(best.params),
            repeats=_repeats([trial.value for trial in study.repeats() if trial.value is not None]),
            importances=study.importances(),
            command=self._command(settings_of(best.params)),
        )
        write_json(self._config.output / "tuning.json", result)
        page = self._config.output / "tuning.html"
        write_text(page, tuning_page(result, rows))
        self._listener(FileWritten(page, "report"))
        return result

    def _folder(self, number: int) -> Path:
        """Of a trial while it runs."""
        return self._config.output / "trials" / f"{number:04}"

    def _training(self, settings: dict[str, object], seed: int) -> TrainConfig:
        """The training of one trial's folds."""
        given: dict[str, object] = {
            "data": self._config.data,
            "manifest": self._config.manifest,
            "weights": self._config.weights,
            "pretrained": self._config.pretrained,
            "device": self._config.device,
            "folds": self._config.folds,
            "select": "hard" if self._config.objective == "hard" else "auroc",
        }
        return validated(TrainConfig, {**given, **self._fixed, **settings, "seed": seed})

    def _run(self, trial: "optuna.Trial") -> None:
        """One trial, to its end or to the moment when it is stopped."""
        seed = self._config.seed + trial.user_attrs.get("repeat", 0)
        scores = FoldScores(self._config.objective, self._config.folds)
        try:
            settings = self._training(suggest(trial, self._fixed), seed)
        except SettingError as error:  # what is tried contradicts what is fixed
            self._study.fail(trial, error.message)
            self._tell(trial, scores, error.message)
            return
        settings = settings.model_copy(update={"run_dir": self._folder(trial.number)})
        try:
            with started(settings) as report:
                ended = self._watch(trial, scores, report)
        except KeyboardInterrupt:
            self._study.give_back(trial)
            raise
        except TrialEnded as error:
            self._study.fail(trial, str(error))
            ended = str(error)
        except (TrainingDiverged, OutOfMemory) as error:
            self._study.fail(trial, error.message)
            ended = error.message
        except PneumoError as error:
            self._study.fail(trial, error.message)
            if isinstance(error, DataError) and self._config.objective == "hard":
                raise DataError(error.message, "--objective log-loss needs no hard films") from error
            raise
        self._tell(trial, scores, ended)

    def _watch(self, trial: "optuna.Trial", scores: FoldScores, report: Callable[[], object]) -> str:
        """Follows a trial; returns how it ended, in words, the empty text for a whole one."""
        while True:
            self._study.beat(trial)
            if not until(self._deadline):
                self._study.give_back(trial)
                return "stopped by --timeout"
            try:
                event = report()
            except EOFError:
                self._study.complete(trial, scores.value)
                return ""
            if isinstance(event, PneumoError):
                raise event
            if isinstance(event, EpochFinished):
                for mark, value in scores.add(event):
                    trial.report(value, mark)
                self._show(trial, scores)
                if "repeat" not in trial.user_attrs and trial.should_prune():
                    self._study.prune(trial)
                    return f"pruned at {self._worded(scores.value)}"

    def _show(self, trial: "optuna.Trial", scores: FoldScores) -> None:
        fold, epoch = f"fold {len(scores.finished) + 1}/{scores.folds}", f"epoch {scores.epoch}/{scores.epochs}"
        detail = f"trial {trial.number}: {fold}, {epoch}, {self._worded(scores.value)}"
        self._listener(TaskAdvanced(_TASK, self._study.num_done, detail))

    def _tell(self, trial: "optuna.Trial", scores: FoldScores, ended: str) -> None:
        done, best = self._study.num_done, self._study.best
        what = f"trial {trial.number}"
        if "repeat" in trial.user_attrs:
            what += f", the best settings with seed {self._config.seed + trial.user_attrs['repeat']}"
        first = "" if best is None else f"; best {self._worded(best.value or 0.0)} of trial {best.number}"
        self._listener(TaskAdvanced(_TASK, done))
        outcome = ended or self._worded(scores.value)
        self._listener(Remark(f"{what}: {outcome}{first} ({done} of {self._config.trials} done)"))

    def _worded(self, value: float) -> str:
        return f"{value:.1%}" if self._config.objective == "hard" else f"{value:.4f}"

    def _record(self, trial: "optuna.trial.FrozenTrial") -> TrialRecord:
        from pneumocli.tuning.study import is_interrupted

        state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running")
        seen = trial.intermediate_values
        value = trial.value if trial.value is not None else (seen[max(seen)] if seen else None)
        return TrialRecord.model_validate(
            {
                "number": trial.number,
                "state": "interrupted" if is_interrupted(trial) else state,
                "value": value if value is not None and math.isfinite(value) else None,
                "seed": self._config.seed + trial.user_attrs.get("repeat", 0),
                "settings": settings_of(trial.params),
                "error": trial.user_attrs.get("error", ""),
            }
        )

    def _command(self, settings: dict[str, object]) -> str:
        given: dict[str, object] = {"data": self._config.data}
        if self._config.manifest is not None:
            given["manifest"] = self._config.manifest
        if self._config.weights is not None:
            given["weights"] = self._config.weights
        elif self._config.pretrained:
            given["pretrained"] = True
        given |= self._fixed | settings
        if self._config.objective == "hard":
            given["select"] = "hard"
        return " ".join(["pneumo", "train", *map(shell_word, flags_of(given))])


_COLUMNS = ("number", "state", "value", "seed", *SPACE, "error")


def _row(record: TrialRecord) -> dict[str, object]:
    own = record.model_dump(exclude={"settings"})
    return own | {name: record.settings.get(name) for name in SPACE}


# Of the search, or given by flags of its own.
_OWN = frozenset(
    "data manifest weights pretrained device seed folds fold ensemble select run_dir val_fraction".split()  # noqa: SIM905
)


def _fixed(config: TuneConfig) -> dict[str, object]:
    """The settings that a file decides.

    Raises:
        SettingError: It decides what the search decides.
    """
    if config.fixed is None:
        return {}
    values = read_settings(config.fixed)
    taken = sorted(_OWN & values.keys())
    if taken:
        raise SettingError(f"{config.fixed}: {taken[0]} is decided by pneumo tune itself, or by a flag of its own")
    return values


def _repeats(values: Sequence[float]) -> Repeats | None:
    if not values:
        return None
    summary = spread(values)
    if summary is None:
        return Repeats(num_seeds=1, mean=values[0], sd=None, low=values[0], high=values[0])
    return Repeats(num_seeds=len(values), **summary)
