"""Events become progress: rich bars on a terminal, plain lines elsewhere."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichBars
from rich.table import Column
from rich.text import Text

from pneumocli.cli import epoch_table
from pneumocli.cli.lines import columns, labelled, wrapped
from pneumocli.core.amounts import counted, duration
from pneumocli.core.events import (
    DeviceSampled,
    EpochFinished,
    Event,
    FileWritten,
    Remark,
    RunStarted,
    TaskAdvanced,
    TaskFinished,
    TaskStarted,
)

_WIDE = 100  # columns from which a bar has room for the time it has taken beside the time that is left
_LONG_SECONDS = 3.0  # a plain line reports the end of a task only when it took at least this long


class Progress(ABC):
    """Shows events until it is closed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._chosen_by: str | None = "AUROC"  # until the head of the epochs has been printed

    def show(self, event: Event) -> None:
        """Shows one event."""
        match event:
            case TaskStarted():
                self._start(event)
            case TaskAdvanced():
                self._advance(event)
            case TaskFinished():
                self._finish(event)
            case RunStarted():
                self._run_started(event)
            case EpochFinished():
                self._epoch(event)
                self._ends_at(time.monotonic() + event.seconds_left)
            case DeviceSampled():
                self._device(event)
            case FileWritten():
                pass  # named at the end of the command
            case Remark(level="warning"):
                self._print(labelled("warning:", event.text, self._width, "yellow"))
            case Remark():
                self._line(event.text)

    def _run_started(self, event: RunStarted) -> None:
        verb = "resumed" if event.first_epoch > 1 else "training"
        self._line(f"{verb} into {event.path}, {counted(event.num_epochs, 'epoch')}")
        self._chosen_by = event.chosen_by

    def _epoch(self, event: EpochFinished) -> None:
        if self._chosen_by is not None:
            self._print(epoch_table.head(self._chosen_by, self._width))
            self._chosen_by = None
        self._print(epoch_table.row(event))

    @property
    def _width(self) -> int:
        return columns(self._console)

    def _line(self, text: str) -> None:
        self._print(Text(wrapped(text, self._width)))

    def _print(self, text: Text) -> None:
        self._console.print(text)

    @abstractmethod
    def close(self) -> None:
        """Ends what is drawn."""

    @abstractmethod
    def _start(self, event: TaskStarted) -> None: ...

    @abstractmethod
    def _advance(self, event: TaskAdvanced) -> None: ...

    @abstractmethod
    def _finish(self, event: TaskFinished) -> None: ...

    @abstractmethod
    def _device(self, event: DeviceSampled) -> None: ...

    @abstractmethod
    def _ends_at(self, moment: float) -> None:
        """Takes note of when, by the monotonic clock, the training will end."""


class PlainProgress(Progress):
    """One line per epoch and per finished long task; no carriage returns: for log files."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._started: dict[str, tuple[float, TaskStarted]] = {}
        self._done: dict[str, int] = {}
        self._device_shown = False

    def _start(self, event: TaskStarted) -> None:
        self._started[event.task] = (time.monotonic(), event)

    def _advance(self, event: TaskAdvanced) -> None:
        self._done[event.task] = event.completed

    def _finish(self, event: TaskFinished) -> None:
        began, start = self._started.pop(event.task, (time.monotonic(), None))
        seconds = time.monotonic() - began
        done = self._done.pop(event.task, 0)
        if start is not None and start.unit != "batches" and seconds >= _LONG_SECONDS:
            self._line(f"{event.task}: {done:,} {start.unit} in {duration(seconds)}")

    def _device(self, event: DeviceSampled) -> None:
        if not self._device_shown:
            self._device_shown = True
            self._line(_device_line(event))

    def _ends_at(self, moment: float) -> None:
        pass  # lines have no clock; each epoch's shows what is left

    def close(self) -> None:
        """Nothing is drawn that would have to end."""


def _device_line(event: DeviceSampled) -> str:
    shown = [event.name]
    if event.memory_used_bytes is not None and event.memory_total_bytes is not None:
        gib = 1 << 30
        shown.append(f"{event.memory_used_bytes / gib:.1f} of {event.memory_total_bytes / gib:.1f} GiB")
    if event.utilisation is not None:
        shown.append(f"{event.utilisation:.0%} busy")
    return "  ".join(shown)


class _AmountColumn(ProgressColumn):
    """Bytes with speed for downloads, counts with rate for the rest."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))  # a narrow terminal cuts it off: wrapped, a bar grew to several lines
        self._bytes = DownloadColumn(binary_units=True)
        self._speed = TransferSpeedColumn()
        self._count = MofNCompleteColumn()

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        if unit == "bytes":
            return Text.assemble(self._bytes.render(task), " ", self._speed.render(task))
        rate = f"  {task.speed:,.1f}/s" if task.speed else ""
        return Text.assemble(self._count.render(task), f" {unit}{rate}")


class _TimeLeftColumn(ProgressColumn):
    """rich's estimate from the last half minute, or the core's where it knows better what is still to come."""

    def render(self, task: Task) -> Text:
        ends_at = task.fields.get("ends_at")
        left = task.time_remaining if ends_at is None else max(0.0, ends_at - time.monotonic())
        return Text("" if left is None or task.finished else f"{duration(left)} left", style="progress.remaining")


class _Bars(RichBars):
    """rich's bars with the state of the GPU below them."""

    device: str = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.device:
            yield Text(self.device, style="dim")


class RichProgress(Progress):
    """Bars that come and go with their tasks, epoch lines above them."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars: _Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def _drawn(self) -> _Bars:
        if self._bars is None:
            self._bars = _Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24 if self._console.width >= _WIDE else 12),
                _AmountColumn(),
                *([TimeElapsedColumn()] if self._console.width >= _WIDE else []),
                _TimeLeftColumn(table_column=Column(no_wrap=True)),
                TextColumn("[dim]{task.fields[detail]}"),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self._bars

    def _start(self, event: TaskStarted) -> None:
        bars = self._drawn()
        self._tasks[event.task] = bars.add_task(escape(event.task), total=event.total, unit=event.unit, detail="")

    def _advance(self, event: TaskAdvanced) -> None:
        if event.task in self._tasks:
            self._drawn().update(self._tasks[event.task], completed=event.completed, detail=escape(event.detail))

    def _ends_at(self, moment: float) -> None:
        if "training" in self._tasks:
            self._drawn().update(self._tasks["training"], ends_at=moment, refresh=True)

    def _finish(self, event: TaskFinished) -> None:
        if event.task in self._tasks:
            self._drawn().remove_task(self._tasks.pop(event.task))
        if not self._tasks:
            self.close()

    def _device(self, event: DeviceSampled) -> None:
        if self._bars is not None:
            self._bars.device = _device_line(event)

    def close(self) -> None:
        """Takes the bars off the screen."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()
