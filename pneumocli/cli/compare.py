"""``pneumo compare``."""

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.cli.render import metric_text
from pneumocli.config import CompareConfig
from pneumocli.records import NOTICE, Comparison, Difference
from pneumocli.runs import RunFolder
from pneumocli.wording import p_text, words

_SHOWN = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "brier_score")


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "compare", CompareConfig, json=True)
    def compare(config: CompareConfig, output: Output) -> None:
        """Compare two or more runs on the same films, with intervals of their differences.

        Evaluates a run first if its predictions are missing or stale. The paired patient bootstrap is the headline;
        exact McNemar and DeLong stand beside it.
        """
        for run in config.runs:
            RunFolder.open_finished(run)  # a wrong name is told before scikit-learn is imported
        from pneumocli.comparison import compare as run_comparison

        output.show(run_comparison(config, output.listener), comparison_table)


def comparison_table(comparison: Comparison) -> RenderableType:
    """A comparison for people: the sentence, the runs side by side, and each pair's differences."""
    runs = Table(
        title=f"{comparison.split}: {comparison.num_images:,} films of {comparison.num_patients:,} patients",
        title_justify="left",
    )
    runs.add_column("metric")
    for run in comparison.runs:
        runs.add_column(run.name, justify="right", overflow="fold")
    for name in _SHOWN:
        cells = (metric_text(run.metrics[name]) for run in comparison.runs)
        runs.add_row(words(name), *(f"{value}\n[dim]{interval}[/]" for value, interval in cells))
    pairs = sorted({(row.run_a, row.run_b) for row in comparison.differences})
    tables = [_difference_table(comparison, a, b) for a, b in pairs]
    return Group(comparison.sentence, runs, *tables, NOTICE)


def _difference_table(comparison: Comparison, a: str, b: str) -> Table:
    table = Table(title=f"{b} minus {a}", title_justify="left")
    table.add_column("metric")
    table.add_column("points", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("p", justify="right")
    table.add_column("method", overflow="fold")
    for row in comparison.differences:
        if (row.run_a, row.run_b) == (a, b) and (row.metric in _SHOWN or "bootstrap" not in row.method):
            table.add_row(words(row.metric), *_cells(row), _short(row.method))
    return table


def _cells(row: Difference) -> tuple[str, str, str]:
    points = "undefined" if row.difference is None else f"{row.difference * 100:+.1f}"
    interval = "" if row.low is None or row.high is None else f"{row.low * 100:+.1f} to {row.high * 100:+.1f}"
    return points, interval, p_text(row.p_value)


def _short(method: str) -> str:
    """A method in a word or two; the long form stands in comparison.json."""
    return "patient bootstrap" if "patient bootstrap" in method else method.split(",", maxsplit=1)[0]
