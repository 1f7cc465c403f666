"""The page of a comparison."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pneumocli.core.records import CLASS_NAMES
from pneumocli.inference.classifier import Classifier
from pneumocli.metrics.records import Comparison, Difference, SeedGroup
from pneumocli.metrics.scores import Compared
from pneumocli.reporting.carry_over import PLACES_COLUMNS, places_rows, shifts_text
from pneumocli.reporting.comparison_figures import colour_of
from pneumocli.reporting.film_pictures import beside_maps
from pneumocli.reporting.html import page_figure, render, scale_marks
from pneumocli.reporting.text import (
    HEADLINE,
    difference_text,
    ends_text,
    hard_rows,
    listed,
    metric_label,
    p_text,
    percent,
    value_text,
    with_ends,
)


@dataclass(frozen=True)
class ComparisonReport:
    """All that the page of a comparison shows.

    Attributes:
        comparison: The numbers.
        runs: The runs compared, in the same order.
        figures: Of :func:`pneumocli.reporting.comparison_figures.comparison_figures`.
        links: Text and relative address of the runs' own pages.
        classifiers: What opens the models of the runs, by name: they show where they found the evidence in films that
            changed sides; tables of scores have none.
    """

    comparison: Comparison
    runs: tuple[Compared, ...]
    figures: Mapping[str, Figure]
    links: tuple[tuple[str, str], ...] = ()
    classifiers: Mapping[str, Callable[[], Classifier]] = field(default_factory=dict)


_CALIBRATION = ("calibration_error", "brier_score")
_SHOWN_CHANGED = 8  # films that changed sides, on each side of a pair


def comparison_page(report: ComparisonReport) -> str:
    """The report of a comparison as one HTML file; figures are inside it."""
    comparison, runs = report.comparison, report.runs
    names = [run.name for run in comparison.runs]
    hard = {run.name: hard_rows(run.subgroups) for run in comparison.runs}
    return render(
        "comparison.html.j2",
        title=listed(names),
        comparison=comparison,
        names=names,
        headline=_headline(comparison),
        metric_rows=_metric_rows(comparison),
        hard_rows=[[name, *row] for name, rows in hard.items() for row in rows],
        without_hard=[name for name, rows in hard.items() if not rows],
        place_rows=[[run.name, *row] for run in runs for row in places_rows(run.evaluations)],
        place_columns=["run", *PLACES_COLUMNS],
        shifts=shifts_text(comparison.runs),
        holm_rows=[[pair, p_text(p)] for pair, p in (comparison.holm_p_values or {}).items()],
        seed_rows=[_seed_rows(group) for group in comparison.seed_groups],
        scores=_score_figures(report),
        training=_training_figures(report),
        pairs=[
            _changed(a, b, report.classifiers) | {"methods": _difference_rows(comparison, a.name, b.name)}
            for a, b in combinations(runs, 2)
        ],
        links=report.links,
        mapped=all(run.name in report.classifiers for run in runs),
    )


def _headline(comparison: Comparison) -> dict[str, object]:
    """The four main metrics, each with a mark per run, all on one scale."""
    colours = {run.name: colour_of(index) for index, run in enumerate(comparison.runs)}
    places = [(name, run) for name in HEADLINE for run in comparison.runs]
    floor, marks = scale_marks({f"{name} of {run.name}": run.metrics[name] for name, run in places})
    rows = [
        (name, mark | {"label": run.name, "colour": colours[run.name]})
        for (name, run), mark in zip(places, marks, strict=True)
    ]
    metrics = [{"label": metric_label(name), "runs": [row for of, row in rows if of == name]} for name in HEADLINE]
    return {"floor": floor, "metrics": metrics}


def _metric_rows(comparison: Comparison) -> list[list[str]]:
    """One row per metric, one cell per run."""
    return [
        [metric_label(name), *(with_ends(name, run.metrics[name]) for run in comparison.runs)]
        for name in comparison.runs[0].metrics
    ]


def _difference_rows(comparison: Comparison, a: str, b: str) -> dict[str, list[list[str]]]:
    """By method, one row per metric of a pair."""
    found: dict[str, list[list[str]]] = {}
    for row in comparison.differences:
        if (row.run_a, row.run_b) == (a, b):
            found.setdefault(row.method, []).append(_difference_row(row))
    return found


def _difference_row(row: Difference) -> list[str]:
    metric = row.metric
    ends = (
        "-"
        if row.low is None or row.high is None
        else f"{difference_text(metric, row.low, decimals=3)} to {difference_text(metric, row.high, decimals=3)}"
    )
    return [
        metric_label(metric),
        value_text(metric, row.a),
        value_text(metric, row.b),
        difference_text(metric, row.difference, decimals=3),
        ends,
        p_text(row.p_value),
    ]


def _seed_rows(group: SeedGroup) -> list[list[str]]:
    keys = ("mean", "sd", "low", "high")
    return [
        [metric_label(name), *(value_text(name, spread[key]) for key in keys)] for name, spread in group.metrics.items()
    ]


def _changed(a: Compared, b: Compared, classifiers: Mapping[str, Callable[[], Classifier]]) -> dict[str, object]:
    """The films that one run of a pair has right and the other wrong: those that it is surest of as pictures."""
    truth = a.scores.labels == 1
    probabilities = (a.scores.probabilities, b.scores.probabilities)
    right_a, right_b = ((p >= run.threshold) == truth for p, run in zip(probabilities, (a, b), strict=True))
    apart = np.abs(probabilities[0] - probabilities[1])

    def side(chosen: NDArray[np.bool_]) -> dict[str, object]:
        places = np.flatnonzero(chosen)
        places = places[np.argsort(-apart[places], kind="stable")]
        rows = [
            [a.scores.images[i], CLASS_NAMES[a.scores.labels[i]], *(percent(p[i]) for p in probabilities)]
            for i in places
        ]
        films = [
            _changed_film(int(i), (a, b), classifiers) | {"values": row}
            for i, row in zip(places[:_SHOWN_CHANGED], rows, strict=False)
        ]
        return {"rows": rows, "films": films}

    return {"a": a.name, "b": b.name, "only_a": side(right_a & ~right_b), "only_b": side(right_b & ~right_a)}


def _changed_film(
    place: int, pair: tuple[Compared, Compared], classifiers: Mapping[str, Callable[[], Classifier]]
) -> dict[str, object]:
    """One film that changed sides, as a tile of the page: beside the film the evidence of either run."""
    image = pair[0].scores.images[place]
    by = [
        (run.name, classifiers[run.name](), CLASS_NAMES[int(run.scores.probabilities[place] >= run.threshold)])
        for run in pair
        if run.name in classifiers
    ]
    folder = next((run.folder for run in pair if not run.described.is_table), Path())
    return {"image": image, "pictures": beside_maps(folder / image, image, by), "alt": "it can no longer be read"}


def _training_figures(report: ComparisonReport) -> list[dict[str, object]]:
    """Learning curves of all runs."""
    histories = [(run.name, run.history[-1]) for run in report.runs if run.history]
    return [
        page_figure(
            report.figures["loss"],
            "Loss of all runs over epochs",
            "Loss over epochs; training films dashed, validation films solid.",
            ["run", "epochs", "last training loss", "last validation loss"],
            [[name, last.epoch, f"{last.train_loss:.4f}", f"{last.val_loss:.4f}"] for name, last in histories],
        ),
        page_figure(
            report.figures["accuracy"],
            "Validation accuracy of all runs over epochs",
            "Accuracy on the validation films over epochs.",
            ["run", "last validation accuracy"],
            [[name, percent(last.val_accuracy)] for name, last in histories],
        ),
    ]


def _score_figures(report: ComparisonReport) -> list[dict[str, object]]:
    """Ranking and calibration of all runs."""
    runs = report.comparison.runs
    return [
        page_figure(
            report.figures["roc"],
            "ROC curves of all runs",
            "Sensitivity against false alarms over all thresholds.",
            ["run", "AUROC", "95 % interval"],
            [[run.name, percent(run.metrics["auroc"].value), ends_text("auroc", run.metrics["auroc"])] for run in runs],
        ),
        page_figure(
            report.figures["calibration"],
            "Reliability diagrams of all runs",
            "Share of pneumonias among films of about the same probability; the diagonal is perfect.",
            ["run", "calibration error", "Brier score"],
            [
                [
                    run.name,
                    *(value_text(name, run.metrics[name].value) for name in ("calibration_error", "brier_score")),
                ]
                for run in runs
            ],
        ),
    ]
