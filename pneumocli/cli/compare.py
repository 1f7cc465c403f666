"""``pneumo compare``."""

import re
import textwrap
from itertools import combinations
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.cli.render import below, hard_tables, metric_text
from pneumocli.core.config import CompareConfig
from pneumocli.core.records import NOTICE
from pneumocli.reporting.text import difference_text, metric_label, p_text, percent
from pneumocli.run_folder import RunFolder, is_table_evaluation, refuse_table_file

if TYPE_CHECKING:  # a prediction starts without these records
    from pneumocli.metrics.records import Comparison, Difference

_SHOWN = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "brier_score")
_SHOWN_OF_MANY = ("accuracy", "sensitivity", "specificity", "auroc")

_NAME_WIDTH = 16  # what four columns of intervals leave of 80


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "compare", CompareConfig, json=True)
    def compare(config: CompareConfig, output: Output) -> None:
        """Compare runs on the same films, with 95 % intervals.

        Evaluates a run first if its predictions are missing or stale. The headline has accuracy by the paired patient
        bootstrap and AUROC by cluster DeLong; exact McNemar stands beside them.
        """
        for run in config.runs:
            refuse_table_file(run)
            if not is_table_evaluation(run):
                RunFolder.open_finished(run)  # a wrong name fails before scikit-learn is imported
        from pneumocli.evaluation.compare import compare as run_comparison

        output.show(run_comparison(config, output.listener), comparison_table)


def comparison_table(comparison: "Comparison") -> RenderableType:
    """A comparison as tables: the sentence, the runs, how they differ, and how far the seeds of a setting lie apart.

    Two runs stand side by side with every metric and method. More of them stand below each other with the metrics
    that the sentence is about, because the 15 pairs of 6 runs fill screens; the page shows all.
    """
    parts: list[RenderableType] = []
    parts += _both_runs(comparison) if len(comparison.runs) == 2 else _many_runs(comparison)
    hard = {_in_lines(run.name): run.subgroups["hard"] for run in comparison.runs if "hard" in run.subgroups}
    parts += hard_tables("run", hard)
    if comparison.name:
        from pneumocli.reporting.carry_over import shifts_text

        if shifts := shifts_text(comparison.runs):
            parts.append(f"These are films of another place; {shifts}.")
    verdict = comparison.sentence.replace(" Threshold: ", "\nThreshold: ")
    return Group(Text(verdict, "bold"), *parts, NOTICE)


def _both_runs(comparison: "Comparison") -> list[Table]:
    runs = Table(title=_films(comparison), title_justify="left")
    runs.add_column("metric")
    for run in comparison.runs:
        runs.add_column(run.name, justify="right", overflow="fold")
    for name in _SHOWN:
        runs.add_row(metric_label(name), *(below(*metric_text(run.metrics[name], name)) for run in comparison.runs))
    return [runs, _difference_table(comparison, *(run.name for run in comparison.runs))]


def _many_runs(comparison: "Comparison") -> list[Table]:
    runs = Table(title=_films(comparison), title_justify="left")
    runs.add_column("run", overflow="fold")
    for name in _SHOWN_OF_MANY:
        runs.add_column(metric_label(name), justify="right")
    for run in comparison.runs:
        shown = (metric_text(run.metrics[name]) for name in _SHOWN_OF_MANY)
        runs.add_row(_in_lines(run.name), *(below(value, interval.replace("%", "")) for value, interval in shown))
    tables = [runs, _pairs_table(comparison)]
    if comparison.seed_groups:
        tables.append(_seeds_table(comparison))
    return tables


def _films(comparison: "Comparison") -> str:
    return f"{comparison.place}: {comparison.num_images:,} films of {comparison.num_patients:,} patients"


def _pairs_table(comparison: "Comparison") -> Table:
    """A line per pair of runs: accuracy by the patient bootstrap, AUROC by cluster DeLong, with Holm's p-values."""
    from pneumocli.reporting.comparison_verdict import holm_of

    table = Table(
        title="Differences in points: accuracy by patient bootstrap, AUROC by DeLong", title_justify="left",
        caption="every metric and method: comparison.html", caption_justify="left",
    )  # fmt: skip
    table.add_column("runs", overflow="fold")
    for name in ("accuracy", "p (Holm)", "AUROC", "p (Holm)"):
        table.add_column(name, justify="right")
    # The last row of a pair's AUROC is the cluster DeLong test, which keeps its level on small sets.
    rows = {
        (row.run_a, row.run_b, row.metric): row
        for row in comparison.differences
        if "bootstrap" in row.method or row.metric == "auroc"
    }
    of_areas = holm_of([row for row in rows.values() if row.metric == "auroc"])
    for first, second in combinations((run.name for run in comparison.runs), 2):
        accuracy, auroc = (rows[first, second, name] for name in ("accuracy", "auroc"))
        (*amount, _), (*area, _) = _cells(accuracy), _cells(auroc)
        by_rate = p_text((comparison.holm_p_values or {}).get(accuracy.pair))
        by_area = p_text(of_areas.get(auroc.pair))
        table.add_row(f"{second} minus {first}", below(*amount), by_rate, below(*area), by_area)
    return table


def _seeds_table(comparison: "Comparison") -> Table:
    """Runs of one setting: mean and standard deviation over their seeds."""
    table = Table(title="Seeds of one setting, mean and standard deviation", title_justify="left")
    table.add_column("runs", overflow="fold")
    for name in _SHOWN_OF_MANY:
        table.add_column(metric_label(name), justify="right")
    for group in comparison.seed_groups:
        spreads = (group.metrics.get(name) for name in _SHOWN_OF_MANY)
        cells = (f"{percent(found['mean'])} ± {found['sd'] * 100:.1f}" if found else "undefined" for found in spreads)
        table.add_row("\n".join(map(_in_lines, group.runs)), *cells)
    return table


def _in_lines(name: str) -> str:
    """A run's name in lines that fit beside four columns of numbers, broken at its hyphens where it has some."""
    return "\n".join(textwrap.wrap(name, _NAME_WIDTH))


def _difference_table(comparison: "Comparison", a: str, b: str) -> Table:
    table = Table(title=f"{b} minus {a}", title_justify="left")
    table.add_column("metric")
    table.add_column("points", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("p", justify="right")
    table.add_column("method", overflow="fold")
    for row in comparison.differences:
        if (row.run_a, row.run_b) == (a, b) and (row.metric in _SHOWN or "bootstrap" not in row.method):
            table.add_row(metric_label(row.metric), *_cells(row), _short(row.method))
    return table


def _cells(row: "Difference") -> tuple[str, str, str]:
    points, low, high = (
        difference_text(row.metric, value, decimals=3) for value in (row.difference, row.low, row.high)
    )
    interval = "" if row.low is None or row.high is None else f"{low} to {high}"
    return points, interval, p_text(row.p_value)


def _short(method: str) -> str:
    """A method's short name; the long one stands in comparison.json."""
    return "patient bootstrap" if "patient bootstrap" in method else re.split(r",| \(|;", method)[0]
