"""``pneumo runs``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.cli.lines import shortened
from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.cli.render import below
from pneumocli.core.amounts import age, counted, size
from pneumocli.core.config import RunsConfig
from pneumocli.reporting.text import percent

if TYPE_CHECKING:  # other commands start without the records of evaluations
    from pneumocli.metrics.records import Metric
    from pneumocli.run_list import RunAtAGlance

_NAME_COLUMNS = 22


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "runs", RunsConfig, json=True)
    def runs(config: RunsConfig, output: Output) -> None:
        """List runs with their state and scores.

        Unfinished and broken runs are named with what to do. Test figures come from pneumo evaluate. Below a figure
        stands its 95 % interval.
        """
        from pneumocli.run_list import runs as list_runs

        found = list_runs(config)
        if output.json:
            output.print_json([run.model_dump(mode="json") for run in found])
        else:
            output.print(runs_table(found))


def runs_table(found: Sequence["RunAtAGlance"]) -> RenderableType:
    """A row of two lines per run, then what to do about those that are not finished."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("run", no_wrap=True)
    for name in ("epochs", "val AUROC", "test AUROC", "accuracy", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in found:
        test = run.evaluations.get("test", {})
        epochs = f"{run.num_epochs}" if run.state == "finished" else f"{run.num_epochs}/{run.num_epochs_planned}"
        table.add_row(
            _name(run),
            below(epochs, f"best {run.best_epoch}") if run.best_epoch else epochs,
            _figure(run.val_auroc, *run.val_intervals.get("val_auroc", (None, None))),
            _metric(test.get("auroc")),
            _metric(test.get("accuracy")),
            below(age(run.age_seconds), size(run.size_bytes)),
        )
    return Group(table, *(_todo(run) for run in found if run.todo))


def _name(run: "RunAtAGlance") -> Text:
    name = Text(shortened(run.name, _NAME_COLUMNS), "bold" if run.state == "finished" else "yellow")
    return name.append(f"\n{shortened(run.recipe, _NAME_COLUMNS)}", "dim")


def _metric(metric: "Metric | None") -> str | Text:
    return "-" if metric is None else _figure(metric.value, metric.low, metric.high)


def _figure(value: float | None, low: float | None, high: float | None) -> str | Text:
    """A share, and its interval in the line below."""
    if value is None:
        return "-"
    if low is None or high is None:
        return percent(value)
    return below(percent(value), f"{low * 100:.1f}–{high * 100:.1f}")


def _todo(run: "RunAtAGlance") -> Text:
    what = run.problem or f"{run.state} after {counted(run.num_epochs, 'epoch')}"
    if run.state == "broken":
        what = f"broken, {what}"
    return Text.assemble(f"\n{shortened(run.path, 60)}: ", (what, "yellow"), f"\n  {run.todo}")
