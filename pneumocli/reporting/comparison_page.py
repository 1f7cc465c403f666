"""The page of a comparison."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from matplotlib.figure import Figure

from pneumocli.core.records import CLASS_NAMES
from pneumocli.metrics.records import Comparison, Difference, SeedGroup
from pneumocli.metrics.scores import Compared
from pneumocli.reporting.html import page_figure, render, signed
from pneumocli.reporting.text import hard_rows, interval, listed, metric_label, number, p_text


@dataclass(frozen=True)
class ComparisonReport:
    """All that the page of a comparison shows.

    Attributes:
        comparison: The numbers.
        runs: The runs compared, in the same order.
        figures: Of :func:`pneumocli.reporting.comparison_figures.comparison_figures`.
    """

    comparison: Comparison
    runs: tuple[Compared, ...]
    figures: Mapping[str, Figure]


def comparison_page(report: ComparisonReport) -> str:
    """The report of a comparison as one HTML file; figures are inside it."""
    comparison, runs = report.comparison, report.runs
    names = [run.name for run in comparison.runs]
    return render(
        "comparison.html.j2",
        title=listed(names),
        comparison=comparison,
        names=names,
        metric_rows=_metric_rows(comparison),
        hard_rows=[[run.name, *row] for run in comparison.runs for row in hard_rows(run.subgroups)],
        holm_rows=[[pair, p_text(p)] for pair, p in (comparison.holm_p_values or {}).items()],
        seed_rows=[_seed_rows(group) for group in comparison.seed_groups],
        figures=_comparison_figures(report),
        pairs=[
            _changed(a, b) | {"rows": _difference_rows(comparison, a.name, b.name)} for a, b in combinations(runs, 2)
        ],
    )


def _metric_rows(comparison: Comparison) -> list[list[str]]:
    """One row per metric, one cell per run."""
    return [
        [
            metric_label(name),
            *(f"{number(run.metrics[name].value)} ({interval(run.metrics[name])})" for run in comparison.runs),
        ]
        for name in comparison.runs[0].metrics
    ]


def _difference_rows(comparison: Comparison, a: str, b: str) -> list[list[str]]:
    """One row per metric and method of a pair."""
    return [_difference_row(row) for row in comparison.differences if (row.run_a, row.run_b) == (a, b)]


def _difference_row(row: Difference) -> list[str]:
    ends = "-" if row.low is None or row.high is None else f"{row.low:+.4f} to {row.high:+.4f}"
    return [
        metric_label(row.metric),
        number(row.a),
        number(row.b),
        signed(row.difference),
        ends,
        p_text(row.p_value),
        row.method,
    ]


def _seed_rows(group: SeedGroup) -> list[list[str]]:
    keys = ("mean", "sd", "low", "high")
    return [[metric_label(name), *(f"{spread[key]:.4f}" for key in keys)] for name, spread in group.metrics.items()]


def _changed(a: Compared, b: Compared) -> dict[str, object]:
    """The films that one run of a pair has right and the other wrong."""
    truth = a.scores.labels == 1
    probabilities = (a.scores.probabilities, b.scores.probabilities)
    right_a, right_b = ((p >= run.threshold) == truth for p, run in zip(probabilities, (a, b), strict=True))

    def rows(chosen: Iterable[int]) -> list[list[str]]:
        return [
            [a.scores.images[i], CLASS_NAMES[a.scores.labels[i]], *(f"{p[i]:.3f}" for p in probabilities)]
            for i in chosen
        ]

    return {
        "a": a.name,
        "b": b.name,
        "only_a": rows(np.flatnonzero(right_a & ~right_b)),
        "only_b": rows(np.flatnonzero(right_b & ~right_a)),
    }


def _comparison_figures(report: ComparisonReport) -> list[dict[str, object]]:
    comparison, drawn = report.comparison, report.figures
    areas = [[run.name, number(run.metrics["auroc"].value), interval(run.metrics["auroc"])] for run in comparison.runs]
    errors = [
        [run.name, number(run.metrics["calibration_error"].value), number(run.metrics["brier_score"].value)]
        for run in comparison.runs
    ]
    last = [
        [run.name, len(run.history), f"{run.history[-1].train_loss:.4f}", f"{run.history[-1].val_loss:.4f}"]
        for run in report.runs
        if run.history
    ]
    return [
        page_figure(
            drawn["overview"],
            "Learning curves and metrics of all runs",
            "Loss and validation accuracy over epochs; metrics with 95 % intervals.",
            ["run", "epochs", "last train loss", "last val loss"],
            last,
        ),
        page_figure(
            drawn["roc"],
            "ROC curves of all runs",
            "ROC curves, overlaid.",
            ["run", "AUROC", "95 % interval"],
            areas,
        ),
        page_figure(
            drawn["calibration"],
            "Reliability diagrams of all runs",
            "Reliability, overlaid; the diagonal is perfect.",
            ["run", "calibration error", "Brier score"],
            errors,
        ),
    ]
