"""``last.pt`` and ``within-epoch.pt``: what resume needs. Plain data only.

The checkpoint decides: ``best.pt`` and ``history.csv`` follow from it and are written after it, so that a resume
repairs a run that was killed between the two. ``within-epoch.pt`` is there while an epoch is under way, beside
``last.pt``, which stays what it is to others: the state after an epoch.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pneumocli.core.errors import ModelFileError, RunError, shell_word
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.records import EpochRecord, Select
from pneumocli.model.network import StateDict, check_state_dict, load_tensors
from pneumocli.model.weights import on_cpu, save_tensors
from pneumocli.run_folder import RunFolder
from pneumocli.training.plan import Plan
from pneumocli.training.step import Learner
from pneumocli.training.tally import EpochPart

_VERSION = 1


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        history: The finished epochs.
        best_epoch: 0 before the first epoch.
        spent: Seconds of all sessions of the run by what they were spent on.
        unreadable: Films that were left out at the start, with the reason: the run's manifest does not hold them.
    """

    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    spent: dict[str, float] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The last finished epoch, 0 before the first."""
        return len(self.history)

    @property
    def seconds(self) -> float:
        """Of all sessions of the run so far, without preparation."""
        return sum(seconds for what, seconds in self.spent.items() if what != "decode")

    def stalled(self, patience: int | None) -> bool:
        """Whether ``patience`` epochs have passed since the best one; never with ``None``."""
        return patience is not None and self.epoch > 0 and self.epoch - self.best_epoch >= patience

    def add(self, record: EpochRecord, select: Select = "auroc") -> bool:
        """Counts a finished epoch; whether it is the best so far, as ``--select`` decides."""
        best = record.beats(self.history[self.best_epoch - 1] if self.best_epoch else None, select)
        self.history.append(record)
        if best:
            self.best_epoch = self.epoch
        return best


def save_checkpoint(run: RunFolder, learner: Learner, progress: Progress, plan: Plan) -> None:
    """Writes ``last.pt``, which takes the place of what was kept within the epoch."""
    save_tensors(run.checkpoint_file, _content(learner, progress, plan))
    run.within_epoch_file.unlink(missing_ok=True)


def save_within_epoch(run: RunFolder, learner: Learner, progress: Progress, plan: Plan, part: EpochPart) -> None:
    """Writes ``within-epoch.pt``: the same within an epoch, and how far the epoch has come."""
    stored = asdict(part) | {"loss_sums": list(part.loss_sums)}
    save_tensors(run.within_epoch_file, _content(learner, progress, plan) | {"part": stored})


def _content(learner: Learner, progress: Progress, plan: Plan) -> dict[str, object]:
    content: dict[str, object] = {
        "schema_version": _VERSION,
        "model": on_cpu(learner.network.state_dict()),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "history": [record.model_dump() for record in progress.history],
        "best_epoch": progress.best_epoch,
        "seconds": progress.seconds,
        "spent": progress.spent,
        "unreadable": progress.unreadable,
        "plan": asdict(plan),
    }
    if learner.average is not None:
        content["average"] = on_cpu(learner.average.network.state_dict())
    return content


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, read and checked.

    Attributes:
        model: The trained network.
        average: Its averaged weights; ``None`` where the run keeps none.
        optimizer: Its state dict.
        scaler: Its state dict.
        progress: The epochs so far.
        plan: What the run began with.
        part: How far the next epoch had come; ``None`` at the end of an epoch.
    """

    model: StateDict
    average: StateDict | None
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    progress: Progress
    plan: Plan
    part: EpochPart | None = None

    def averaged(self) -> StateDict:
        """The averaged weights.

        Raises:
            ModelFileError: The checkpoint holds none, though the run's settings ask for them.
        """
        if self.average is None:
            raise ModelFileError("last.pt holds no averaged weights, which config.json asks for (--average-epochs)")
        return self.average


def load_checkpoint(run: RunFolder, listener: Listener = ignore) -> Checkpoint:
    """Reads the newest checkpoint: ``within-epoch.pt`` if it is whole and follows ``last.pt``, else ``last.pt``.

    Args:
        run: The run.
        listener: Gets a warning where ``within-epoch.pt`` is damaged and ``last.pt`` serves instead.

    Raises:
        RunError: There is none: the run was stopped before its first one.
        ModelFileError: It is damaged or from another version.
    """
    if not run.can_resume:
        raise RunError(f"{run.path} has no last.pt: it was stopped before its first epoch was done", run.continue_hint)
    last = _read(run.checkpoint_file) if run.checkpoint_file.is_file() else None
    if not run.within_epoch_file.is_file():
        return _there(run, last)
    try:
        within = _read(run.within_epoch_file)
    except ModelFileError as error:
        if last is None:
            file = shell_word(run.within_epoch_file)
            raise ModelFileError(error.message, f"rm {file}; the same command with --continue starts again") from error
        listener(Remark(f"{error.message}: going on from the end of epoch {last.progress.epoch}", "warning"))
        return last
    follows = within.progress.history == (last.progress.history if last is not None else [])
    return within if follows else _there(run, last)


def _there(run: RunFolder, last: Checkpoint | None) -> Checkpoint:
    if last is None:
        raise RunError(
            f"{run.path} has lost its {run.checkpoint_file.name}, which its {run.within_epoch_file.name} follows",
            f"restore {run.checkpoint_file.name} from a backup, or train again",
        )
    return last


def _read(file: Path) -> Checkpoint:
    loaded = load_tensors(file)
    try:
        if not isinstance(loaded, Mapping) or loaded["schema_version"] != _VERSION:
            raise ModelFileError(f"{file} is no checkpoint of this version of pneumo")
        average = loaded.get("average")
        for state in (loaded["model"], average):
            if state is not None:
                check_state_dict(file, state)
        progress = Progress(
            history=[EpochRecord.model_validate(record) for record in loaded["history"]],
            best_epoch=int(loaded["best_epoch"]),
            spent={str(name): float(value) for name, value in loaded["spent"].items()},
            unreadable={str(image): str(reason) for image, reason in loaded.get("unreadable", {}).items()},
        )
        return Checkpoint(
            model=dict(loaded["model"]),
            average=None if average is None else dict(average),
            optimizer=loaded["optimizer"],
            scaler=loaded["scaler"],
            progress=progress,
            plan=Plan(**loaded["plan"]),
            part=_part(loaded["part"]) if "part" in loaded else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise ModelFileError(f"{file} is damaged: {type(error).__name__} while reading it") from error


def _part(stored: Mapping[str, Any]) -> EpochPart:
    return EpochPart(**{**stored, "loss_sums": tuple(float(value) for value in stored["loss_sums"])})
