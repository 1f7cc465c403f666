"""Epochs as lines of one table, 80 columns wide, printed as they come."""

from rich.text import Text

from pneumocli.cli.lines import wrapped
from pneumocli.core.amounts import duration
from pneumocli.core.events import EpochFinished
from pneumocli.reporting.text import percent

_NAMES = ("epoch", "loss", "val loss", "AUROC", "accuracy", "sens.", "spec.", "img/s", "left")
_WIDTHS = (7, 8, 10, 8, 10, 7, 7, 8, 9)  # each begins with a blank or more; a mark of 5 follows
_HOUR = 3600


def head(chosen_by: str, width: int) -> Text:
    """What the columns hold, and what the mark means: printed before the first epoch."""
    legend = f"sens., spec.: sensitivity and specificity at 50%; best: by {chosen_by} so far"
    names = "".join(name.rjust(width) for name, width in zip(_NAMES, _WIDTHS, strict=True))
    return Text(f"{wrapped(legend, width)}\n{names}", style="dim")


def row(event: EpochFinished) -> Text:
    """An epoch: losses, validation at threshold 0.5, pace, time left, and whether it is the best so far."""
    record = event.record
    number = f"{record.epoch}/{event.num_epochs}"
    cells = (
        number if len(number) <= _WIDTHS[0] else f"{record.epoch}",
        _loss(record.train_loss),
        _loss(record.val_loss),
        *map(_share, (record.val_auroc, record.val_accuracy, event.val_sensitivity, event.val_specificity)),
        _rate(record.images_per_second),
        _left(event.seconds_left) if record.epoch < event.num_epochs else "",
    )
    line = Text("".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True)))
    return line.append(" best", "green") if event.is_best else line


def _loss(value: float) -> str:
    return f"{value:.4f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.1e}"


def _left(seconds: float) -> str:
    return duration(seconds) if seconds < 100 * _HOUR else f"{seconds / _HOUR:,.0f} h"


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}"
