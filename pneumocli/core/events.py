"""What the core reports while it works: a few frozen values, passed to a listener.

A listener looks on and cannot steer: what it returns is ignored. The command line turns events into progress bars,
TensorBoard is another listener, and :func:`ignore` is the default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pneumocli.core.records import EpochRecord


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A stretch of work with a known or unknown length begins.

    Attributes:
        task: What is done, as shown to the user, unique among the tasks under way ("decoding films").
        total: Units to do; ``None`` when unknown.
        unit: What is counted: ``"films"``, ``"bytes"``, ``"epochs"``, ``"batches"``.
    """

    task: str
    total: int | None
    unit: str = "films"


@dataclass(frozen=True, slots=True)
class TaskAdvanced:
    """``completed`` units of a task are done in all; ``detail`` is a short remark such as the current loss."""

    task: str
    completed: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """A task came to its end."""

    task: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A training writes into ``path`` from now on.

    Attributes:
        path: The run folder.
        first_epoch: 1, or later for a resumed run.
        num_epochs: Planned in all.
        chosen_by: The validation metric that decides the best epoch, as people read it.
    """

    path: Path
    first_epoch: int
    num_epochs: int
    chosen_by: str = "AUROC"


@dataclass(frozen=True, slots=True)
class EpochFinished:
    """An epoch is done and on disk.

    Attributes:
        record: The row of ``history.csv``.
        val_sensitivity: On the validation films at threshold 0.5, 0-1; ``None`` without positive films.
        val_specificity: Likewise; ``None`` without negative films.
        is_best: Whether this epoch's weights are the best so far.
        num_epochs: Epochs planned in all.
        seconds_left: Until the last of them, from the pace of this session's epochs.
    """

    record: EpochRecord
    val_sensitivity: float | None
    val_specificity: float | None
    is_best: bool
    num_epochs: int
    seconds_left: float


@dataclass(frozen=True, slots=True)
class DeviceSampled:
    """A look at the GPU: memory in bytes, utilisation 0-1; ``None`` for what the driver does not report."""

    name: str
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    utilisation: float | None


@dataclass(frozen=True, slots=True)
class Remark:
    """Something the user should know. A ``"warning"`` may change what a result means; a ``"note"`` may not."""

    text: str
    level: Literal["note", "warning"] = "note"


@dataclass(frozen=True, slots=True)
class FileWritten:
    """A file or folder that the command leaves for the user; ``what`` names its content, such as ``report``."""

    path: Path
    what: str


Event = TaskStarted | TaskAdvanced | TaskFinished | RunStarted | EpochFinished | DeviceSampled | Remark | FileWritten
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The default listener: does nothing."""
