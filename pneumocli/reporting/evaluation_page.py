"""The page of an evaluation."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import precision_recall_curve, roc_curve

from pneumocli.core.records import CLASS_NAMES
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import fit_film, read_film
from pneumocli.data.phantom import README_NAME
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.heat_map import overlay
from pneumocli.metrics.calibration import reliability_rows
from pneumocli.metrics.records import Evaluation, ScoredFilm
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.metrics.thresholds import net_benefits
from pneumocli.reporting.figures import (
    calibration_figure,
    confusion_figure,
    decision_figure,
    histogram_figure,
    learning_curves_figure,
    pr_figure,
    roc_figure,
)
from pneumocli.reporting.html import page_figure, render, thinned, thinned_rows
from pneumocli.reporting.text import interval, number, percent, verdict
from pneumocli.run_folder import RunFolder

_SHOWN_WRONG = 12
_SHOWN_UNCERTAIN = 8
_FILM_SIDE = 320  # pixels of a film on the page: the page stays below some megabytes

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
    scores = ScoreArrays.of(films, evaluation.temperature)
    wrong, uncertain = _chosen_films(scores, evaluation.threshold.value)
    num_wrong = int(((scores.probabilities >= evaluation.threshold.value) != (scores.labels == 1)).sum())
    return render(
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


def _evaluation_figures(run: RunFolder, evaluation: Evaluation, scores: ScoreArrays) -> list[dict[str, object]]:
    table = evaluation.confusion
    both = 0 < int(scores.labels.sum()) < len(scores)
    false_positive, true_positive, _ = roc_curve(scores.labels, scores.logits) if both else ([], [], [])
    ppv, sens, _ = precision_recall_curve(scores.labels, scores.logits) if both else ([], [], [])
    area = number(evaluation.metrics["auroc"].value)
    history = run.history()
    return [
        page_figure(
            confusion_figure(evaluation),
            "Confusion matrix",
            f"{table.tn} normal films and {table.tp} pneumonias right; {table.fp} false alarms, {table.fn} missed.",
            ["truth", "called NORMAL", "called PNEUMONIA"],
            [["NORMAL", table.tn, table.fp], ["PNEUMONIA", table.fn, table.tp]],
        ),
        page_figure(
            roc_figure(evaluation, scores),
            "ROC curve",
            f"Sensitivity against false alarms over all thresholds; AUROC {area}. The ring is the operating point.",
            ["1 - specificity", "sensitivity"],
            thinned(zip(false_positive, true_positive, strict=True)),
        ),
        page_figure(
            pr_figure(evaluation, scores),
            "Precision-recall curve",
            f"ppv against sensitivity; the dotted line is the prevalence, {percent(evaluation.prevalence)}.",
            ["sensitivity", "ppv"],
            thinned(zip(sens, ppv, strict=True)),
        ),
        page_figure(
            calibration_figure(evaluation, scores),
            "Reliability diagram",
            "Share of pneumonias among films of about the same probability; the diagonal is perfect. "
            f"Temperature {evaluation.temperature:.3f}.",
            ["mean probability", "share of pneumonias", "films"],
            reliability_rows(scores),
        ),
        page_figure(
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
        page_figure(
            decision_figure(scores),
            "Decision curve",
            "Net benefit of acting on the model against acting on every film or on none, by how many false alarms a "
            "found pneumonia is worth (Vickers and Elkin 2006, doi:10.1177/0272989X06295361).",
            ["threshold", "model", "every film"],
            [[f"{t:.2f}", f"{m:.4f}", f"{e:.4f}"] for t, m, e in thinned_rows(net_benefits(scores))],
        ),
        page_figure(
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


def _chosen_films(scores: ScoreArrays, threshold: float) -> tuple[list[int], list[int]]:
    """The worst wrong films by loss, and the films nearest to the threshold."""
    wrong = np.flatnonzero((scores.probabilities >= threshold) != (scores.labels == 1))
    worst = wrong[np.argsort(-scores.losses[wrong], kind="stable")][:_SHOWN_WRONG]
    uncertain = np.argsort(np.abs(scores.probabilities - threshold), kind="stable")[:_SHOWN_UNCERTAIN]
    return worst.tolist(), uncertain.tolist()


def _film(
    classifier: Classifier, scores: ScoreArrays, index: int, evaluation: Evaluation, data: Path
) -> dict[str, object]:
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
