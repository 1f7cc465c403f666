"""A search as all its workers see it: Optuna's study, who works on which trial, and what is still to do."""

import contextlib
import hashlib
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from pneumocli.core.errors import PneumoError, RunError
from pneumocli.core.locks import machine_of, runs_here, this_process

optuna.logging.set_verbosity(optuna.logging.ERROR)

_DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {"hard": "maximize", "log-loss": "minimize"}

BEAT_SECONDS = 30.0
"""Between two signs of life of a worker."""
_SILENT_SECONDS = 240.0  # after which a worker of another machine counts as gone
_MOST_ATTEMPTS = 3  # of a trial whose worker is gone each time

_FACTS, _WORKER, _BEAT, _GONE, _ATTEMPT, REPEAT, ERROR = (
    "pneumo_facts", "worker", "beat", "interrupted", "attempt", "repeat", "error",
)  # fmt: skip


class Study:
    """A search in a storage that several workers share.

    Args:
        study: Optuna's.
        trials: How many are wanted in all, without repeats.
        seed: Of the first random choices.
        alone: Whether this is the only worker, whose choices can then be had again.
    """

    def __init__(self, study: optuna.Study, *, trials: int, seed: int, alone: bool) -> None:
        self._study = study
        self._wanted = trials
        self._seed = seed
        self._alone = alone
        self._beaten = -BEAT_SECONDS
        self.name: str = study.study_name
        self.maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self._study.get_trials(deepcopy=False)

    @property
    def num_done(self) -> int:
        """Trials that have come to an end, without repeats and those whose worker is gone."""
        return sum(_counts(trial) and trial.state.is_finished() for trial in self.trials())

    @property
    def best(self) -> FrozenTrial | None:
        """The complete trial with the best value, without repeats."""
        found = [trial for trial in self.trials() if _counts(trial) and trial.state == TrialState.COMPLETE]
        sign = -1 if self.maximize else 1
        return min(found, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)

    def repeats(self) -> list[FrozenTrial]:
        """Trials of the best settings with another seed, one of each seed, that are done, under way or waiting."""
        first: dict[int, FrozenTrial] = {}
        best = self.best
        for trial in self.trials():  # those of settings that were the best before do not count
            if best is not None and _is_repeat(trial, best):
                first.setdefault(trial.user_attrs[REPEAT], trial)
        return list(first.values())

    def take(self, seeds: int) -> optuna.Trial | None:
        """The next trial; ``None`` where all are done or in other hands.

        Args:
            seeds: With how many seeds the best settings are scored in the end.
        """
        self._reclaim()
        trials = self.trials()
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        begun = sum(_counts(trial) and trial.state != TrialState.WAITING for trial in trials)
        if begun >= self._wanted and not waiting:
            lacking = set(range(1, seeds)) - {trial.user_attrs[REPEAT] for trial in self.repeats()}
            if self.num_done < self._wanted or self.best is None or not lacking:
                return None
            for seed in sorted(lacking):
                self._study.enqueue_trial(self.best.params, user_attrs={REPEAT: seed})
        self._study.sampler = self._sampler(len(trials))
        trial = self._study.ask()
        trial.set_user_attr(_WORKER, this_process())
        self.beat(trial, now=True)
        if self._surplus(trial):
            trial.set_user_attr(_GONE, True)
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        return trial

    def beat(self, trial: optuna.Trial, *, now: bool = False) -> None:
        """Gives a sign of life, from time to time."""
        if now or time.monotonic() - self._beaten >= BEAT_SECONDS:
            self._beaten = time.monotonic()
            trial.set_user_attr(_BEAT, time.time())

    def complete(self, trial: optuna.Trial, value: float) -> None:
        """Keeps a trial's value."""
        self._study.tell(trial, value)

    def prune(self, trial: optuna.Trial) -> None:
        """Ends a trial that does worse than others did."""
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: optuna.Trial, reason: str) -> None:
        """Ends a trial whose settings cannot be trained."""
        trial.set_user_attr(ERROR, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def give_back(self, trial: optuna.Trial) -> None:
        """Has a trial that was stopped on purpose run again later."""
        self._requeue(self.trials()[trial.number], stopped=True)

    def importances(self) -> dict[str, float]:
        """Share of the objective's variance that each setting explains; empty with fewer than 5 complete trials."""
        done = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        if len(done) < 5 or len({trial.value for trial in done}) == 1:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(
                optuna.importance.get_param_importances(
                    self._study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
                )
            )

    def _sampler(self, num_trials: int) -> optuna.samplers.BaseSampler:
        """A sampler whose choices follow from the seed and the trials before, and differ between workers."""
        worker = "" if self._alone else this_process()
        digest = hashlib.sha256(f"{self._seed} {num_trials} {worker}".encode()).digest()
        return optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"), n_startup_trials=8)

    def _surplus(self, trial: optuna.Trial) -> bool:
        """Whether other workers began enough trials, or this repeat, while this one was asked for."""
        *earlier, own = self.trials()[: trial.number + 1]
        repeat = trial.user_attrs.get(REPEAT)
        if repeat is not None:
            return any(_is_repeat(one, own) and one.user_attrs[REPEAT] == repeat for one in earlier)
        return sum(map(_counts, earlier)) >= self._wanted

    def _reclaim(self) -> None:
        """Ends the trials whose worker is gone and puts them at the head of what is to do."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and _is_gone(trial):
                self._requeue(trial)

    def _requeue(self, trial: FrozenTrial, *, stopped: bool = False) -> None:
        attempt = trial.user_attrs.get(_ATTEMPT, 1)
        storage = self._study._storage
        again = stopped or attempt < _MOST_ATTEMPTS
        # Of several workers that notice it, the one that ends the trial puts it back.
        with contextlib.suppress(UpdateFinishedTrialError):
            storage.set_trial_user_attr(
                trial._trial_id, _GONE if again else ERROR, again or "its process ended 3 times"
            )
            storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            if again and trial.params:
                kept = {REPEAT: trial.user_attrs[REPEAT]} if REPEAT in trial.user_attrs else {}
                self._study.enqueue_trial(trial.params, user_attrs={**kept, _ATTEMPT: attempt + (not stopped)})


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those that were asked for."""
    return REPEAT not in trial.user_attrs and _GONE not in trial.user_attrs


def _is_repeat(trial: FrozenTrial, of: FrozenTrial) -> bool:
    """Whether a trial has the settings of another one with another seed, and was not put back."""
    marks = trial.user_attrs
    return REPEAT in marks and _GONE not in marks and _settings(trial) == _settings(of)


def _settings(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's parameters, also while it waits: those that it was put there with."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def is_interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial ended with its worker and was put back."""
    return _GONE in trial.user_attrs


def _is_gone(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get(_WORKER)
    if worker is not None and machine_of(worker) == machine_of(this_process()):
        return not runs_here(worker)
    began = trial.datetime_start.timestamp() if trial.datetime_start is not None else 0.0
    beat: float = trial.user_attrs.get(_BEAT, began)
    return time.time() - beat > _SILENT_SECONDS


def open_study(
    place: Path | str, name: str, objective: str, facts: Mapping[str, str], *, may_exist: bool
) -> optuna.Study:
    """The study of this name, made if need be.

    Args:
        place: A journal file, or the URL of a database.
        name: Of the study.
        objective: ``hard`` or ``log-loss``.
        facts: By what they are called: what must be the same for all trials of a study.
        may_exist: Go on with a study that is there.

    Raises:
        RunError: It exists and ``may_exist`` is false, or it is a study of other films or settings, or none of
            pneumo's; or there is no such database.
    """
    with _storage_errors(place):
        storage = _storage(place)
        names = optuna.get_all_study_names(storage)
        if name in names and not may_exist:
            raise RunError(f"the study {name} exists already in {shown(place)}", "--continue goes on with it")
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=_DIRECTIONS[objective],
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
        )
        if not study.trials and _FACTS not in study.user_attrs:
            study.set_user_attr(_FACTS, dict(facts))
        kept = study.user_attrs.get(_FACTS)
        if not isinstance(kept, dict):
            raise RunError(f"the study {name} in {shown(place)} is none of pneumo tune", "choose another --output")
        differing = [what for what, value in facts.items() if kept.get(what) != value]
        if differing:
            raise RunError(
                f"the study {name} in {shown(place)} is another one: it has other {' and other '.join(differing)}",
                "choose another --output: the study is named after it",
            )
    return study


def _storage(place: Path | str) -> BaseStorage:
    if isinstance(place, Path):
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        place.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(place)))
    return optuna.storages.RDBStorage(place, engine_kwargs={"pool_pre_ping": True})


@contextmanager
def lost_storage(place: Path | str) -> Iterator[None]:
    """Translates what a storage raises that goes away during a search; what was kept in it stays.

    Raises:
        RunError: It does not answer any more.
    """
    import sqlalchemy.exc

    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, FileNotFoundError) as error:
        raise RunError(
            f"the study's storage {shown(place)} does not answer any more", "the same command with --continue goes on"
        ) from error


@contextmanager
def _storage_errors(place: Path | str) -> Iterator[None]:
    """Translates what a database or its driver raises."""
    import sqlalchemy.exc

    try:
        yield
    except PneumoError:
        raise
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
        reason = getattr(error, "orig", None) or error
        first = (str(reason).strip().splitlines() or [type(reason).__name__])[0]
        raise RunError(
            f"cannot open the study's storage {shown(place)}: {_without(first, place)}",
            "--storage takes SQLAlchemy's URLs, such as postgresql+psycopg://USER@HOST/DATABASE",
        ) from error


def shown(place: Path | str) -> str:
    """A storage without its password."""
    if isinstance(place, Path):
        return str(place)
    import sqlalchemy

    try:
        return sqlalchemy.make_url(place).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return "named by --storage"


def _without(text: str, place: Path | str) -> str:
    """A driver's message without the URL, which may hold a password."""
    return text.replace(str(place), shown(place)) if isinstance(place, str) else text
