"""Results as tables and text for people."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from pneumocli.core.amounts import duration
from pneumocli.core.errors import shell_word
from pneumocli.core.records import NOTICE, RunResult
from pneumocli.metrics.records import Metric
from pneumocli.run_folder import RunFolder
from pneumocli.training.records import SeedSummary

# What a training spends its time on, by the names of RunResult.time_shares.
_SPENT = {
    "decode": "reading films",
    "wait": "waiting for batches",
    "compute": "training",
    "validate": "validating",
    "save": "saving",
}


def training_summary(run: RunFolder, result: RunResult) -> RenderableType:
    """The result of a training, and the next command."""
    table = Table(
        title=f"Run {run.path}", title_justify="left", show_header=False, caption=NOTICE, caption_justify="left"
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    stopped = ", stopped early" if result.stopped_early else ""
    auroc = "undefined" if result.val_auroc is None else f"{result.val_auroc:.4f}"
    table.add_row("best epoch", f"{result.best_epoch} of {result.num_epochs}{stopped}")
    table.add_row("validation", f"auroc {auroc}, accuracy {result.val_accuracy:.1%}")
    table.add_row("time", f"{duration(result.seconds)}, {result.images_per_second:,.1f} images/s")
    table.add_row("spent on", ", ".join(f"{_SPENT[name]} {share:.0%}" for name, share in result.time_shares.items()))
    if result.peak_memory_bytes is not None:
        table.add_row("peak memory", f"{result.peak_memory_bytes / 1e9:.2f} GB")
    if result.num_unreadable:
        table.add_row("unreadable", f"{result.num_unreadable} films left out, named in {run.result_file.name}")
    table.add_row("next", f"pneumo evaluate {shell_word(run.path)}")
    return table


def where_to_look(folder: Path, runs: Sequence[RunFolder]) -> RenderableType:
    """What the demo wrote, and the next command."""
    table = Table(
        title="Where to look", title_justify="left", show_header=False, caption=NOTICE, caption_justify="left"
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    first = runs[0]
    table.add_row("report", str(first.evaluation_folder("test").report_file))
    table.add_row("comparison", str(folder / "comparison" / "comparison.html"))
    table.add_row("heat maps", str(folder / "explanations"))
    table.add_row("model", f"{first.onnx_file} (uint8 pixels in, logits out; see {first.card_file.name})")
    table.add_row("next", "pneumo download, then pneumo train: the same on real films")
    return table


def metric_text(metric: Metric) -> tuple[str, str]:
    """A metric and its interval in percent; ``undefined`` where there is no value."""
    value = "undefined" if metric.value is None else f"{metric.value:.1%}"
    interval = "" if metric.low is None or metric.high is None else f"{metric.low:.1%} to {metric.high:.1%}"
    return value, interval


def seeds_summary(summary: SeedSummary) -> RenderableType:
    """The runs of several seeds, with mean, SD and range."""
    table = Table(caption=NOTICE, caption_justify="left")
    for name in ("run", "best epoch", "val auroc", "val accuracy"):
        table.add_column(name, justify="left" if name == "run" else "right", overflow="fold")
    for run in summary.runs:
        auroc = "undefined" if run.val_auroc is None else f"{run.val_auroc:.4f}"
        table.add_row(run.path, str(run.best_epoch), auroc, f"{run.val_accuracy:.1%}")
    table.add_section()
    aurocs, accuracies = (summary.metrics.get(name, {}) for name in ("val_auroc", "val_accuracy"))
    for key in ("mean", "sd", "low", "high"):
        shown = f"{aurocs[key]:.4f}" if aurocs else "undefined"
        table.add_row(key, "", shown, f"{accuracies[key]:.1%}" if accuracies else "undefined")
    return table
