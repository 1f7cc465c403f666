"""The page of an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from pneumocli.core.records import CLASS_NAMES, EpochRecord
from pneumocli.data.thumbnails import png_url
from pneumocli.inference.heat_map import LARGE_CUT
from pneumocli.metrics.calibration import reliability_rows
from pneumocli.metrics.classification import ratio
from pneumocli.metrics.records import Evaluation
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.metrics.thresholds import counts_at, net_benefits
from pneumocli.model.card import FINE_CELLS, ModelCard
from pneumocli.reporting.carry_over import (
    CONTRADICTED_NOTE,
    LABEL_SHIFT_NOTE,
    PATIENTS_COLUMNS,
    PLACES_COLUMNS,
    REFITTED_NOTE,
    label_shift_rows,
    patients_rows,
    patients_sentence,
    places_rows,
    refitted_rows,
    shift_mark,
)
from pneumocli.reporting.film_pictures import ShownFilms
from pneumocli.reporting.html import page_figure, render, scale_marks, table_by_method, thinned, thinned_rows
from pneumocli.reporting.refer_section import refer_section
from pneumocli.reporting.shift_section import shift_section
from pneumocli.reporting.text import (
    HEADLINE,
    at_prevalence_sentence,
    hard_rows,
    percent,
    ranking_doubt,
    setting_text,
    value_text,
    verdict,
    verdict_of,
    with_ends,
)

_CHOSEN = {
    "fixed": "fixed beforehand",
    "val": "chosen on the validation films, never on these",
    "out-of-fold": "chosen on the training films, each scored by the fold that held it out",
    "recalibrated": "chosen on other films of another place, see the model card",
    "given": "given on the command line",
}


@dataclass(frozen=True)
class EvaluationReport:
    """All that the page of an evaluation shows.

    Attributes:
        evaluation: The numbers.
        scores: The films that the numbers were made of.
        figures: Of :func:`pneumocli.reporting.figures.evaluation_figures`.
        films: The films that are shown.
        card: Of the model; ``None`` for a table of scores.
        history: Epochs of the training.
        settings: Of the training, by name.
        environment: Of the training, by name.
        phantom: Whether the films are synthetic.
        origin: Of the training films, see :func:`pneumocli.reporting.model_card.origin_of`; ``None`` for a table.
        batch: The picture of a training batch, a PNG file; ``None`` where the run has none.
        places: All evaluations of the run, this one among them.
    """

    evaluation: Evaluation
    scores: ScoreArrays
    figures: Mapping[str, Figure]
    films: ShownFilms
    card: ModelCard | None
    history: tuple[EpochRecord, ...]
    settings: Mapping[str, object]
    environment: Mapping[str, object]
    phantom: bool
    origin: str | None = None
    batch: bytes | None = None
    places: tuple[Evaluation, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """Text and relative address of the other pages of the run."""


_STEPS = 200  # of the threshold's slider, each half a percent


def evaluation_page(report: EvaluationReport) -> str:
    """The report of an evaluation as one HTML file; figures and pictures are inside it."""
    evaluation = report.evaluation
    headline = {name: evaluation.metrics[name] for name in HEADLINE}
    return render(
        "evaluation.html.j2",
        title=evaluation.run if evaluation.table_sha256 else f"{evaluation.run} on {evaluation.place}",
        shift_mark=shift_mark(evaluation),
        evaluation=evaluation,
        card=report.card,
        phantom=report.phantom,
        origin=report.origin,
        verdict=_verdict(report),
        carry_over=_carry_over(evaluation),
        patients=_patients(evaluation),
        places={"columns": PLACES_COLUMNS, "rows": places_rows(report.places)},
        shift=shift_section(evaluation.shift),
        refer=refer_section(evaluation),
        chosen=_CHOSEN[evaluation.threshold.chosen_on],
        class_rows=_class_rows(evaluation),
        subgroup_rows=_subgroup_rows(evaluation),
        hard_rows=hard_rows(evaluation.subgroups),
        at_prevalence=at_prevalence_sentence(evaluation),
        ranking_doubt=ranking_doubt(evaluation),
        scale=dict(zip(("floor", "marks"), scale_marks(headline), strict=True)),
        value_text=lambda name: value_text(name, evaluation.metrics[name].value),
        methods=table_by_method(evaluation.metrics),
        **_thresholds(report),
        ranking=_ranking_figures(report),
        trust=_trust_figures(report),
        training=_training_figures(report) if report.history else [],  # folds have no epochs of their own
        batch=None if report.batch is None else png_url(report.batch),
        **_films(report.films),
        links=report.links,
        settings=[(name, setting_text(value)) for name, value in report.settings.items()],
        environment=[(name, setting_text(value)) for name, value in report.environment.items()],
    )


def _verdict(report: EvaluationReport) -> str:
    found = report.evaluation.patients
    if report.evaluation.by == "film" or found is None:
        return verdict(report.evaluation)
    return f"{verdict_of(found.mean_logit.metrics)} (patients, by the mean of their films' logits)"


def _carry_over(evaluation: Evaluation) -> list[dict[str, object]]:
    """The sections on how the operating point and the probabilities carry over to these films."""
    sections: list[dict[str, object]] = []
    refitted, shifted = evaluation.at_stored_sensitivity, evaluation.label_shift
    if refitted is not None:
        sections.append(
            {
                "title": "The stored sensitivity on these films",
                "notes": [REFITTED_NOTE],
                "columns": ["threshold", "value", "sensitivity", "specificity"],
                "rows": refitted_rows(refitted, evaluation),
            }
        )
    if shifted is not None:
        sections.append(
            {
                "title": "Another prevalence",
                "notes": [LABEL_SHIFT_NOTE, *([CONTRADICTED_NOTE] if shifted.contradicted else [])],
                "columns": ["", "as it is", "corrected for the estimate"],
                "rows": label_shift_rows(shifted, evaluation),
            }
        )
    return sections


def _patients(evaluation: Evaluation) -> dict[str, object] | None:
    found = evaluation.patients
    if found is None:
        return None
    return {"sentence": patients_sentence(found), "columns": PATIENTS_COLUMNS, "rows": patients_rows(found)}


def _films(films: ShownFilms) -> dict[str, object]:
    """The galleries, and remarks on what their heat maps can show."""
    return {
        "num_wrong": films.num_wrong,
        "wrong": films.worst,
        "right": films.right,
        "uncertain": films.uncertain,
        "cells": films.cells,
        "coarse": films.cells is not None and min(films.cells) < FINE_CELLS,
        "cut": films.largest_cut if films.largest_cut > LARGE_CUT else None,
    }


def _thresholds(report: EvaluationReport) -> dict[str, object]:
    """The slider's thresholds with their counts, the place of the stored one among them, and a short table."""
    stored = report.evaluation.threshold.value
    grid = np.unique([*np.linspace(0, 1, _STEPS + 1).round(3), stored])
    counts = counts_at(grid, report.scores)
    place = int(np.searchsorted(grid, stored))
    shown = sorted({*np.searchsorted(grid, np.linspace(0, 1, 21).round(3)).tolist(), place})
    return {
        "thresholds": [[float(value), *map(int, row)] for value, row in zip(grid, counts, strict=True)],
        "stored": place,
        "threshold_rows": [_threshold_row(float(grid[i]), counts[i]) for i in shown],
    }


def _threshold_row(threshold: float, counts: NDArray[np.int64]) -> list[str]:
    tp, fp, fn, tn = map(int, counts)
    rates = (ratio(tp, tp + fn), ratio(tn, tn + fp), ratio(tp, tp + fp))
    return [percent(threshold), *map(percent, rates), f"{fn:,}", f"{fp:,}"]


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
            *(with_ends(metric, group.metrics[metric]) for metric in ("sensitivity", "auroc")),
        ]
        for kind, group in evaluation.subgroups.items()
        if group.num_normal is None
    ]


_Described = tuple[str, str, str, Sequence[str], Sequence[Sequence[object]]]


def _drawn(report: EvaluationReport, described: Sequence[_Described]) -> list[dict[str, object]]:
    """The figures of a report among those described: a table of scores has no training, scores no calibration."""
    return [
        page_figure(report.figures[name], alt, caption, columns, rows)
        for name, alt, caption, columns, rows in described
        if name in report.figures
    ]


def _ranking_figures(report: EvaluationReport) -> list[dict[str, object]]:
    """Figures over all thresholds."""
    evaluation, scores = report.evaluation, report.scores
    both = 0 < int(scores.labels.sum()) < len(scores)
    false_positive, true_positive, _ = roc_curve(scores.labels, scores.logits) if both else ([], [], [])
    ppv, sens, _ = precision_recall_curve(scores.labels, scores.logits) if both else ([], [], [])
    return _drawn(
        report,
        [
            (
                "roc",
                "ROC curve",
                "Sensitivity against false alarms over all thresholds; AUROC "
                f"{percent(evaluation.metrics['auroc'].value)}. The dot is the operating point.",
                ["1 - specificity", "sensitivity"],
                thinned(zip(false_positive, true_positive, strict=True)),
            ),
            (
                "histogram",
                "Histogram of scores",
                "Scores of the two classes; what lies right of the line is called PNEUMONIA.",
                ["class", "5 %", "median", "95 %"],
                [
                    [
                        name,
                        *(
                            f"{q:.2f}"
                            for q in np.quantile(scores.calibrated[scores.labels == label], (0.05, 0.5, 0.95))
                        ),
                    ]
                    for label, name in enumerate(CLASS_NAMES)
                    if (scores.labels == label).any()
                ],
            ),
            (
                "pr",
                "Precision-recall curve",
                f"ppv against sensitivity; the dotted line is the prevalence, {percent(evaluation.prevalence)}.",
                ["sensitivity", "ppv"],
                thinned(zip(sens, ppv, strict=True)),
            ),
        ],
    )


def _trust_figures(report: EvaluationReport) -> list[dict[str, object]]:
    """Figures about the probabilities."""
    scores = report.scores
    return _drawn(
        report,
        [
            (
                "calibration",
                "Reliability diagram",
                "Share of pneumonias among films of about the same probability; the diagonal is perfect. "
                f"Temperature {report.evaluation.temperature:.3f}.",
                ["mean probability", "share of pneumonias", "films"],
                reliability_rows(scores),
            ),
            (
                "decision",
                "Decision curve",
                "Net benefit of acting on the model against acting on every film or on none, by how many false alarms "
                "a found pneumonia is worth (Vickers and Elkin 2006, doi:10.1177/0272989X06295361).",
                ["threshold", "model", "every film"],
                [[f"{t:.0%}", f"{m:.4f}", f"{e:.4f}"] for t, m, e in thinned_rows(net_benefits(scores))],
            ),
        ],
    )


def _training_figures(report: EvaluationReport) -> list[dict[str, object]]:
    """Learning curves."""
    history = report.history
    return _drawn(
        report,
        [
            (
                "loss",
                "Loss over epochs",
                "Loss on the training and the validation films.",
                ["epoch", "training", "validation"],
                [[row.epoch, f"{row.train_loss:.4f}", f"{row.val_loss:.4f}"] for row in history],
            ),
            (
                "ranking",
                "Accuracy and AUROC over epochs",
                "Accuracy and AUROC on the validation films.",
                ["epoch", "accuracy", "AUROC"],
                [[row.epoch, percent(row.val_accuracy), percent(row.val_auroc)] for row in history],
            ),
        ],
    )
