"""Pages of an evaluation and of a comparison: one file each, that opens offline, prints, and runs nothing.

Everything a stranger may have named (films, folders, runs) is escaped by the template engine; a content security policy
forbids scripts and every request to the network.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import precision_recall_curve, roc_curve

from pneumocli.core.records import CLASS_NAMES, NOTICE, Comparison, Difference, Evaluation, ScoredFilm, SeedGroup
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import fit_film, read_film
from pneumocli.data.phantom import README_NAME
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.heat_map import overlay
from pneumocli.metrics.classification import verdict
from pneumocli.metrics.scores import Scores
from pneumocli.reporting.comparison_figures import calibration_overlay, comparison_figure, roc_overlay
from pneumocli.reporting.figures import (
    calibration_figure,
    confusion_figure,
    decision_figure,
    histogram_figure,
    learning_curves_figure,
    net_benefits,
    pr_figure,
    reliability_rows,
    roc_figure,
    svg,
)
from pneumocli.reporting.model_card import interval, number, percent
from pneumocli.reporting.text import listed, p_text, words
from pneumocli.run_folder import RunFolder

if TYPE_CHECKING:
    from pneumocli.evaluation.compare import Compared

_SHOWN_WRONG = 12
_SHOWN_UNCERTAIN = 8
_FILM_SIDE = 320  # pixels of a film on the page: the page stays below some megabytes
_CURVE_POINTS = 25  # rows of a curve's table
_WIDE = 2.2  # width over height of a figure that gets a row of its own

_CHOSEN = {
    "fixed": "fixed beforehand",
    "val": "chosen on the validation films, never on these",
    "given": "given on the command line",
}


def evaluation_page(run: RunFolder, evaluation: Evaluation, films: Sequence[ScoredFilm], data: Path) -> str:
    """The report of an evaluation as one HTML file.

    Args:
        run: The run.
        evaluation: Its numbers.
        films: What they were made of.
        data: Folder that the films are below.

    Returns:
        The page; figures and pictures are inside it.
    """
    classifier = Classifier.of_run(run)
    scores = Scores.of(films, evaluation.temperature)
    wrong, uncertain = _chosen_films(scores, evaluation.threshold.value)
    num_wrong = int(((scores.probabilities >= evaluation.threshold.value) != (scores.labels == 1)).sum())
    return _render(
        "evaluation.html.j2",
        title=f"{evaluation.run} on {evaluation.split}",
        evaluation=evaluation,
        card=classifier.card,
        phantom=(data / README_NAME).is_file(),
        verdict=verdict(evaluation),
        chosen=_CHOSEN[evaluation.threshold.chosen_on],
        class_rows=_class_rows(evaluation),
        subgroup_rows=_subgroup_rows(evaluation),
        figures=_evaluation_figures(run, evaluation, scores),
        num_wrong=num_wrong,
        wrong=[_film(classifier, scores, index, evaluation, data) for index in wrong],
        uncertain=[_film(classifier, scores, index, evaluation, data) for index in uncertain],
        settings=list(run.config().model_dump(mode="json").items()),
        environment=list(run.environment().model_dump(mode="json").items()),
    )


def comparison_page(comparison: Comparison, runs: Sequence["Compared"]) -> str:
    """The report of a comparison as one HTML file.

    Args:
        comparison: The numbers.
        runs: The runs compared, in the same order.
    """
    names = [run.name for run in comparison.runs]
    return _render(
        "comparison.html.j2",
        title=listed(names),
        comparison=comparison,
        names=names,
        metric_rows=_metric_rows(comparison),
        holm_rows=[[pair, p_text(p)] for pair, p in (comparison.holm_p_values or {}).items()],
        seed_rows=[_seed_rows(group) for group in comparison.seed_groups],
        figures=_comparison_figures(comparison, runs),
        pairs=[
            _changed(a, b) | {"rows": _difference_rows(comparison, a.name, b.name)} for a, b in combinations(runs, 2)
        ],
    )


def _metric_rows(comparison: Comparison) -> list[list[str]]:
    """One row per metric, one cell per run."""
    return [
        [
            words(name),
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
        words(row.metric),
        number(row.a),
        number(row.b),
        _signed(row.difference),
        ends,
        p_text(row.p_value),
        row.method,
    ]


def _seed_rows(group: SeedGroup) -> list[list[str]]:
    keys = ("mean", "sd", "low", "high")
    return [[words(name), *(f"{spread[key]:.4f}" for key in keys)] for name, spread in group.metrics.items()]


def _changed(a: "Compared", b: "Compared") -> dict[str, object]:
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


def _class_rows(evaluation: Evaluation) -> list[list[str]]:
    return [
        [name, percent(row.precision), percent(row.recall), percent(row.f1), f"{row.support:,}"]
        for name, row in evaluation.classes.items()
    ]


def _subgroup_rows(evaluation: Evaluation) -> list[list[str]]:
    return [
        [
            kind,
            f"{group.num_images:,}",
            f"{group.num_patients:,}",
            *(f"{number(group.metrics[m].value)} ({interval(group.metrics[m])})" for m in ("sensitivity", "auroc")),
        ]
        for kind, group in evaluation.subgroups.items()
    ]


def _evaluation_figures(run: RunFolder, evaluation: Evaluation, scores: Scores) -> list[dict[str, object]]:
    table = evaluation.confusion
    both = 0 < int(scores.labels.sum()) < len(scores)
    false_positive, true_positive, _ = roc_curve(scores.labels, scores.logits) if both else ([], [], [])
    ppv, sens, _ = precision_recall_curve(scores.labels, scores.logits) if both else ([], [], [])
    area = number(evaluation.metrics["auroc"].value)
    history = run.history()
    return [
        _figure(
            confusion_figure(evaluation),
            "Confusion matrix",
            f"{table.tn} normal films and {table.tp} pneumonias right; {table.fp} false alarms, {table.fn} missed.",
            ["truth", "called NORMAL", "called PNEUMONIA"],
            [["NORMAL", table.tn, table.fp], ["PNEUMONIA", table.fn, table.tp]],
        ),
        _figure(
            roc_figure(evaluation, scores),
            "ROC curve",
            f"Sensitivity against false alarms over all thresholds; AUROC {area}. The ring is the operating point.",
            ["1 - specificity", "sensitivity"],
            _thinned(zip(false_positive, true_positive, strict=True)),
        ),
        _figure(
            pr_figure(evaluation, scores),
            "Precision-recall curve",
            f"ppv against sensitivity; the dotted line is the prevalence, {percent(evaluation.prevalence)}.",
            ["sensitivity", "ppv"],
            _thinned(zip(sens, ppv, strict=True)),
        ),
        _figure(
            calibration_figure(evaluation, scores),
            "Reliability diagram",
            "Share of pneumonias among films of about the same probability; the diagonal is perfect. "
            f"Temperature {evaluation.temperature:.3f}.",
            ["mean probability", "share of pneumonias", "films"],
            reliability_rows(scores),
        ),
        _figure(
            histogram_figure(evaluation, scores),
            "Histogram of scores",
            "Scores of the two classes; what lies right of the line is called PNEUMONIA.",
            ["class", "5 %", "median", "95 %"],
            [
                [name, *(f"{q:.2f}" for q in np.quantile(scores.calibrated[scores.labels == label], (0.05, 0.5, 0.95)))]
                for label, name in enumerate(CLASS_NAMES)
                if (scores.labels == label).any()
            ],
        ),
        _figure(
            decision_figure(scores),
            "Decision curve",
            "Net benefit of acting on the model against acting on every film or on none, by how many false alarms a "
            "found pneumonia is worth (Vickers and Elkin 2006, doi:10.1177/0272989X06295361).",
            ["threshold", "model", "every film"],
            [[f"{t:.2f}", f"{m:.4f}", f"{e:.4f}"] for t, m, e in _thinned_rows(net_benefits(scores))],
        ),
        _figure(
            learning_curves_figure(history),
            "Learning curves",
            "Loss, and validation accuracy and AUROC, over the epochs of the training.",
            ["epoch", "train loss", "val loss", "val accuracy", "val AUROC"],
            [
                [r.epoch, f"{r.train_loss:.4f}", f"{r.val_loss:.4f}", f"{r.val_accuracy:.4f}", number(r.val_auroc)]
                for r in history
            ],
        ),
    ]


def _comparison_figures(comparison: Comparison, runs: Sequence["Compared"]) -> list[dict[str, object]]:
    histories = {run.name: run.run.history() for run in runs}
    named = [(run.name, run.scores) for run in runs]
    areas = [[run.name, number(run.metrics["auroc"].value), interval(run.metrics["auroc"])] for run in comparison.runs]
    errors = [
        [run.name, number(run.metrics["calibration_error"].value), number(run.metrics["brier_score"].value)]
        for run in comparison.runs
    ]
    last = [
        [name, len(history), f"{history[-1].train_loss:.4f}", f"{history[-1].val_loss:.4f}"]
        for name, history in histories.items()
        if history
    ]
    return [
        _figure(
            comparison_figure(comparison, histories),
            "Learning curves and metrics of all runs",
            "Loss and validation accuracy over epochs; metrics with 95 % intervals.",
            ["run", "epochs", "last train loss", "last val loss"],
            last,
        ),
        _figure(
            roc_overlay(named),
            "ROC curves of all runs",
            "ROC curves, overlaid.",
            ["run", "AUROC", "95 % interval"],
            areas,
        ),
        _figure(
            calibration_overlay(named),
            "Reliability diagrams of all runs",
            "Reliability, overlaid; the diagonal is perfect.",
            ["run", "calibration error", "Brier score"],
            errors,
        ),
    ]


def _figure(
    figure: Figure, alt: str, caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> dict[str, object]:
    # As an image, not inline: the ids inside several SVGs would clash, and styles would leak.
    encoded = base64.b64encode(svg(figure).encode()).decode()
    width, height = figure.get_size_inches()
    return {
        "source": f"data:image/svg+xml;base64,{encoded}",
        "wide": width > _WIDE * height,
        "alt": f"{alt}. {caption}",
        "caption": caption,
        "columns": columns,
        "rows": [list(row) for row in rows],
    }


def _thinned(points: Iterable[tuple[float, float]]) -> list[list[str]]:
    return [[f"{x:.4f}", f"{y:.4f}"] for x, y in _thinned_rows(list(points))]


def _thinned_rows(rows: Sequence[Any]) -> list[Any]:
    """At most a few dozen rows, evenly chosen, the first and the last among them."""
    if len(rows) <= _CURVE_POINTS:
        return list(rows)
    return [rows[round(place)] for place in np.linspace(0, len(rows) - 1, _CURVE_POINTS)]


def _chosen_films(scores: Scores, threshold: float) -> tuple[list[int], list[int]]:
    """The worst wrong films by loss, and the films nearest to the threshold."""
    wrong = np.flatnonzero((scores.probabilities >= threshold) != (scores.labels == 1))
    worst = wrong[np.argsort(-scores.losses[wrong], kind="stable")][:_SHOWN_WRONG]
    uncertain = np.argsort(np.abs(scores.probabilities - threshold), kind="stable")[:_SHOWN_UNCERTAIN]
    return worst.tolist(), uncertain.tolist()


def _film(classifier: Classifier, scores: Scores, index: int, evaluation: Evaluation, data: Path) -> dict[str, object]:
    """A film with its class activation map, and what was said of it."""
    label, probability = CLASS_NAMES[scores.labels[index]], float(scores.probabilities[index])
    prediction = CLASS_NAMES[int(probability >= evaluation.threshold.value)]
    shown: dict[str, object] = {
        "image": scores.images[index],
        "label": label,
        "prediction": prediction,
        "wrong": label != prediction,
        "probability": probability,
        "loss": float(scores.losses[index]),
        "source": None,
    }
    try:
        pixels = read_film(data / scores.images[index]).pixels
    except UnreadableFilm as error:  # gone since it was scored
        return shown | {"alt": error.reason}
    card = classifier.card
    cam = classifier.run(fit_film(pixels, card.image_size, card.fit)[None, None]).cam[0]
    picture = Image.fromarray(overlay(pixels, cam, card.fit, prediction))
    picture.thumbnail((_FILM_SIDE, _FILM_SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    encoded = base64.b64encode(out.getvalue()).decode()
    alt = f"Film {scores.images[index]}, {label}, called {prediction} at probability {probability:.3f}"
    return shown | {"source": f"data:image/jpeg;base64,{encoded}", "alt": alt}


def _signed(value: float | None) -> str:
    return "undefined" if value is None else f"{value:+.4f}"


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("pneumocli"), autoescape=True, undefined=StrictUndefined)
    environment.globals.update(percent=percent, number=number, interval=interval, words=words, notice=NOTICE)
    return environment


def _render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(**values)
