"""One trial: a process that trains the folds, watched by the one that decides whether it goes on."""

import math
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import PneumoError
from pneumocli.core.events import EpochFinished, Event
from pneumocli.core.records import EpochRecord
from pneumocli.tuning.records import Objective

MARKS_PER_FOLD = 4
"""Moments in a fold at which a trial is compared with others: they mean the same whatever the number of epochs."""

_LOOK_SECONDS = 1.0
_STOP_SECONDS = 10.0  # for a trial to put its things in order


class TrialEnded(Exception):  # noqa: N818 - an outcome
    """The process ended without a word: killed by the system, mostly for want of memory."""


@dataclass
class FoldScores:
    """A trial's objective as far as its folds have come.

    Args:
        objective: ``hard`` or ``log-loss``.
        folds: How many the trial trains.
    """

    objective: Objective
    folds: int
    finished: list[float] = field(default_factory=list)
    present: float | None = None
    epoch: int = 0
    epochs: int = 0

    def add(self, event: EpochFinished) -> list[tuple[int, float]]:
        """Takes in an epoch.

        Returns:
            The marks that the trial has passed with it, from 1, each with the trial's value there.
        """
        if event.record.epoch <= self.epoch and self.present is not None:
            self.finished.append(self.present)
        if event.is_best or event.record.epoch == 1:
            self.present = value_of(event.record, self.objective)
        before = 0 if event.record.epoch <= self.epoch else self.epoch
        self.epoch, self.epochs = event.record.epoch, event.num_epochs
        passed = range(self._marks(before) + 1, self._marks(self.epoch) + 1)
        return [(len(self.finished) * MARKS_PER_FOLD + mark, self.value) for mark in passed]

    def _marks(self, epoch: int) -> int:
        return epoch * MARKS_PER_FOLD // self.epochs

    @property
    def value(self) -> float:
        """The mean over the folds so far; of the present one at its best epoch."""
        seen = [*self.finished, *([] if self.present is None else [self.present])]
        return sum(seen) / len(seen) if seen else math.nan


def value_of(record: EpochRecord, objective: Objective) -> float:
    """The objective after an epoch."""
    if objective == "log-loss":
        return record.val_loss
    value = record.val_hard_balanced_accuracy
    if value is None:  # a training with --select hard does not begin without hard films
        raise ValueError("no hard films")
    return value


@contextmanager
def started(config: TrainConfig) -> Iterator[Callable[[], Event | PneumoError | None]]:
    """Runs a trial in a process of its own, which ends with the block, or with this process, however it ends.

    Args:
        config: The settings, with ``folds``; ``run_dir`` is the trial's folder, which is removed in the end.

    Yields:
        A function that waits a second at most for what the trial has to report: the end of an epoch, its error, or
        ``None`` for nothing yet. It raises :class:`EOFError` when the trial is done, and :class:`TrialEnded`.
    """
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(config, its), daemon=False)
    process.start()
    its.close()
    try:
        yield lambda: _next(mine, process)
    finally:
        process.terminate()
        process.join(_STOP_SECONDS)
        process.kill()
        process.join()
        mine.close()
        shutil.rmtree(_folder(config), ignore_errors=True)


def _next(connection: Connection, process: BaseProcess) -> Event | PneumoError | None:
    if not connection.poll(_LOOK_SECONDS):
        return None
    try:
        event: Event | PneumoError = connection.recv()
    except EOFError:
        process.join()
        if process.exitcode != 0:
            raise TrialEnded(_ending(process.exitcode or 0)) from None
        raise
    return event


_SIGKILL = 9  # Windows has neither the signal nor its name


def _ending(code: int) -> str:
    killed = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return killed + (", which the system sends when memory runs out" if code == -_SIGKILL else "")


def _folder(config: TrainConfig) -> Path:
    if config.run_dir is None:
        raise ValueError("a trial has a folder")
    return config.run_dir


def _work(config: TrainConfig, connection: Connection) -> None:
    """The trial's process: trains one fold after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it, too; the watching process decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from pneumocli.training.train import score_fold

    def listener(event: Event) -> None:
        if isinstance(event, EpochFinished):
            connection.send(event)

    try:
        for fold in range(1, (config.folds or 0) + 1):
            run_dir = _folder(config) / str(fold)
            score_fold(config.model_copy(update={"fold": fold, "run_dir": run_dir}), listener)
            shutil.rmtree(run_dir, ignore_errors=True)
    except PneumoError as error:
        connection.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def until(deadline: float | None) -> bool:
    """Whether there is time left, by the monotonic clock."""
    return deadline is None or time.monotonic() < deadline
