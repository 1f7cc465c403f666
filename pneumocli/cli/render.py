"""Results as tables and text for people."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.core.amounts import counted, duration
from pneumocli.core.config import SELECTED_BY, TrainConfig
from pneumocli.core.errors import shell_word
from pneumocli.core.records import NOTICE, RunResult
from pneumocli.model.card import GroupFigure, map_cells
from pneumocli.reporting.text import HARD_METRICS, metric_label, percent, with_ends
from pneumocli.run_folder import RunFolder, default_run

if TYPE_CHECKING:  # a prediction starts without these records
    from pneumocli.metrics.records import Metric, Subgroup
    from pneumocli.training.records import SeedSummary

# What a training spends its time on, by the names of RunResult.time_shares.
_SPENT = {
    "decode": "reading films",
    "wait": "waiting for batches",
    "compute": "training",
    "validate": "validating",
    "save": "saving",
    "finish": "finishing",
}

_NOTABLE = 0.01  # of accuracy

SCORES = frozenset({"brier_score", "log_loss", "mcc", "brier_skill"})
"""Metrics that are no shares."""


def training_summary(run: RunFolder, result: RunResult) -> RenderableType:
    """The result of a training, what its best epoch was chosen by, and the next command."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    config, stopped = run.config(), ", stopped early" if result.stopped_early else ""
    chosen_by = f"by {SELECTED_BY[config.select]} on validation films"
    table.add_row("best epoch", f"{result.best_epoch} of {result.num_epochs}, {chosen_by}{stopped}")
    area, right = _validated(result, "auroc", result.val_auroc), _validated(result, "accuracy", result.val_accuracy)
    table.add_row("validation", f"AUROC {area}, accuracy {right}")
    hard = _hard_films(run)
    if hard is not None:
        table.add_row("hard films", hard)
    table.add_row("time", f"{duration(result.seconds)}, {result.images_per_second:,.1f} images/s")
    table.add_row("spent on", ", ".join(f"{_SPENT[name]} {share:.0%}" for name, share in result.time_shares.items()))
    if result.peak_memory_bytes is not None:
        table.add_row("peak memory", f"{result.peak_memory_bytes / 1e9:.2f} GB")
    if result.num_unreadable:
        number = counted(result.num_unreadable, "film")
        table.add_row("unreadable", f"{number} left out, named in {run.result_file.name}")
    remarks = [Text(f"note: {text}", style="yellow") for text in _doubts(run, config, result)]
    following = f"next: pneumo evaluate {shell_word(run.path)}"
    return Group(Text(f"Run {run.path}", "bold"), table, *remarks, Text(following), Text(NOTICE, "dim"))


def _hard_films(run: RunFolder) -> str | None:
    """The figures of the validation films whose label a shortcut contradicts, at the stored threshold, if any is so."""
    from pneumocli.inference.classifier import card_of_run  # loaded by then: a training has just ended

    card = card_of_run(run)
    hard = card.validation.hard
    if hard is None:
        return None
    counts = f"{hard.num_normal:,} NORMAL, {hard.num_pneumonia:,} PNEUMONIA"
    found = {"auroc": hard.auroc, "sensitivity": hard.sensitivity, "specificity": hard.specificity}
    figures = [f"{metric_label(name)} {with_ends(name, one)}" for name, one in found.items() if one.value is not None]
    if not figures:
        return f"{counts}: too few for figures"
    return f"{counts}; threshold {percent(card.operating_point.threshold)}: {', '.join(figures)}"


def _validated(result: RunResult, name: str, value: float | None) -> str:
    """A validation figure with its interval."""
    low, high = result.val_intervals.get(f"val_{name}", (None, None))
    return with_ends(name, GroupFigure(value=value, low=low, high=high))


def _doubts(run: RunFolder, config: TrainConfig, result: RunResult) -> Iterator[str]:
    """What a user would not expect: a folder of another name, a best epoch that is not the most accurate one."""
    first = default_run(pretrained=config.pretrained)
    if config.run_dir is None and run.path != first:
        yield f"{first} exists already: this run is {run.path}"
    best = max(run.history(), key=lambda record: record.val_accuracy, default=None)
    if best is not None and best.val_accuracy - result.val_accuracy >= _NOTABLE:
        yield (
            f"epoch {best.epoch} was more accurate on the validation films, {percent(best.val_accuracy)}: accuracy "
            "depends on the threshold, AUROC does not; --operating-point youden stores a threshold chosen on them"
        )
    cells = map_cells(config.image_size)
    if cells < map_cells(224):
        yield f"heat maps of this run have {cells} x {cells} cells; 7 x 7 from --image-size 193 on"


def group_summary(group: RunFolder, result: RunResult) -> RenderableType:
    """The runs of a group of folds, what they give together, and the next command."""
    table = Table(title=f"Group {group.path}", title_justify="left", caption_justify="left")
    hard = _hard_films(group)
    of_hard = "" if hard is None else f"hard films: {hard}\n"
    table.caption = f"{of_hard}{NOTICE}\nnext: pneumo evaluate {shell_word(group.path)}"
    for name in ("run", "films held out", "best epoch", "val AUROC", "val accuracy"):
        table.add_column(name, justify="left" if name == "run" else "right", overflow="fold")
    for fold in result.folds:
        name, figures = group.fold(fold.fold).path.name, (percent(fold.val_auroc), percent(fold.val_accuracy))
        table.add_row(name, f"{fold.num_val_images:,}", str(fold.best_epoch), *figures)
    table.add_section()
    aurocs, accuracies = (result.spread.get(name, {}) for name in ("val_auroc", "val_accuracy"))
    for key in ("mean", "sd"):
        table.add_row(key, "", "", percent(aurocs.get(key)), percent(accuracies.get(key)))
    total = sum(fold.num_val_images for fold in result.folds)
    table.add_row("all films", f"{total:,}", "", percent(result.val_auroc), percent(result.val_accuracy))
    return table


def metric_text(metric: "Metric", name: str = "") -> tuple[str, str]:
    """A metric and its interval: shares in percent, Brier's score and the like as numbers."""
    show = "{:.3f}".format if name in SCORES else percent
    value = "undefined" if metric.value is None else show(metric.value)
    return value, "" if metric.low is None or metric.high is None else f"{show(metric.low)} to {show(metric.high)}"


def below(value: str, interval: str) -> Text:
    """A value and, in a line below it, its interval: as much as a column of a terminal holds."""
    return Text.assemble(value, "\n", (interval, "dim"))


def hard_tables(column: str, groups: Mapping[str, "Subgroup"]) -> list[Table]:
    """A table of hard films with a row for each group that has a figure, by the names to show; none where none has."""
    table = Table(title="Hard films: how they were made suggests the other class", title_justify="left")
    table.add_column(column, overflow="fold")
    for name in HARD_METRICS:
        table.add_column(metric_label(name), justify="right")
    for name, group in groups.items():
        if group.num_normal is not None and any(group.metrics[one].value is not None for one in HARD_METRICS):
            shown = (metric_text(group.metrics[metric]) for metric in HARD_METRICS)
            counts = f"{group.num_normal:,} NORMAL, {group.num_pneumonia:,} PNEUMONIA"
            table.add_row(below(name, counts), *(below(value, interval.replace("%", "")) for value, interval in shown))
    return [table] if table.row_count else []


def seeds_summary(summary: "SeedSummary") -> RenderableType:
    """The runs of several seeds, with mean, SD and range."""
    table = Table(caption=NOTICE, caption_justify="left")
    for name in ("run", "best epoch", "val AUROC", "val accuracy"):
        table.add_column(name, justify="left" if name == "run" else "right", overflow="fold")
    for run in summary.runs:
        table.add_row(run.path, str(run.best_epoch), percent(run.val_auroc), percent(run.val_accuracy))
    table.add_section()
    aurocs, accuracies = (summary.metrics.get(name, {}) for name in ("val_auroc", "val_accuracy"))
    for key in ("mean", "sd", "low", "high"):
        table.add_row(key, "", percent(aurocs.get(key)), percent(accuracies.get(key)))
    return table
