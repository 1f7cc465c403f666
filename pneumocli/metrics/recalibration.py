"""Probabilities and threshold fitted anew to labelled films of another place, with cross-validated figures.

A scale and an offset of the logit cannot change the order of films: what a network does not tell apart stays so.

References:
    Platt 1999, "Probabilistic outputs for support vector machines", with the smoothed targets that keep the slope
    finite where the classes are separated; Lin, Lin and Weng 2007, doi:10.1007/s10994-007-5018-6.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.records import Count, Fraction, Record
from pneumocli.metrics.bootstrap import PatientBootstrap, percentiles, rate, wilson
from pneumocli.metrics.classification import film_losses, sigmoid
from pneumocli.metrics.delong import auroc_metric
from pneumocli.metrics.records import Metric
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.metrics.thresholds import choose_operating_point
from pneumocli.model.card import OperatingPoint

FOLDS = 5
_SAMPLE_SIZES = (25, 50, 100, 200, 400)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LogitMap:
    """``scale * logit + offset`` in place of the logit."""

    scale: float
    offset: float

    def __call__(self, logits: Floats) -> Floats:
        """The logits as recalibrated, (N,)."""
        return self.scale * logits + self.offset


@dataclass(frozen=True)
class Figures:
    """How a calibration with its threshold does on films."""

    sensitivity: Metric
    specificity: Metric
    log_loss: Metric


@dataclass(frozen=True)
class Refitted:
    """A new calibration.

    Attributes:
        map: Fitted to all films.
        point: Chosen on all films; its sensitivity and specificity are the cross-validated ones.
        before: The old calibration on the same films.
        after: The new one, cross-validated.
        auroc: Of the scores, whose order stays.
    """

    map: LogitMap
    point: OperatingPoint
    before: Figures
    after: Figures
    auroc: Metric


class SampleSize(Record):
    """How exactly so many patients of a class would measure the rates that were found."""

    num_patients: Count
    """Of the class: PNEUMONIA for sensitivity, NORMAL for specificity; one film each."""
    sensitivity: Fraction
    """Half the width of Wilson's 95 % interval."""
    specificity: Fraction
    """Likewise."""


def fit_logit_map(logits: Floats, labels: NDArray[np.int64]) -> LogitMap:
    """Fits scale and offset by Platt's method: least log loss against his smoothed targets.

    Args:
        logits: (N,).
        labels: 0 or 1, of both classes, (N,).

    Returns:
        Its scale is at or below 0 where the scores do not rise with the class.
    """
    from scipy.optimize import minimize

    positives = int(labels.sum())
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (labels.size - positives + 2))
    centre, spread = float(logits.mean()), float(logits.std())
    if spread == 0:
        return LogitMap(0.0, float(np.log(targets.mean() / (1 - targets.mean()))))
    design = np.column_stack([(logits - centre) / spread, np.ones(logits.size)])

    def loss(weights: Floats) -> tuple[float, Floats]:
        values = design @ weights
        gradient: Floats = design.T @ (sigmoid(values) - targets) / labels.size
        return float(np.mean(np.logaddexp(0, values) - targets * values)), gradient

    found = minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-8})
    scale = float(found.x[0]) / spread
    return LogitMap(scale, float(found.x[1]) - scale * centre)


def refit(scores: ScoreArrays, rule: str, threshold: float, seed: int = 0) -> Refitted:
    """Fits calibration and threshold to films, and measures both by cross-validation, patient by patient.

    Args:
        scores: At the old temperature; at least :data:`FOLDS` patients of each class.
        rule: See :func:`pneumocli.metrics.thresholds.choose_operating_point`.
        threshold: The old one.
        seed: Of the folds and of the bootstrap.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    held, called = np.zeros(len(scores)), np.zeros(len(scores), bool)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fitted, rest in folds.split(scores.logits, scores.labels, scores.patients):
        logit_map, point = _fit(scores.logits[fitted], scores.labels[fitted], rule)
        held[rest] = logit_map(scores.logits[rest])
        called[rest] = sigmoid(held[rest]) >= point.threshold
    after = _figures(scores, held, called, seed)
    logit_map, point = _fit(scores.logits, scores.labels, rule)
    # Under a fixed rule, too, the threshold's figures now come from these films.
    honest = {
        "chosen_on": "recalibrated",
        "sensitivity": after.sensitivity.value,
        "specificity": after.specificity.value,
    }
    return Refitted(
        map=logit_map,
        point=point.model_copy(update=honest),
        before=_figures(scores, scores.calibrated, scores.probabilities >= threshold, seed),
        after=after,
        auroc=auroc_metric(scores.labels, scores.logits, scores.patients),
    )


def _fit(logits: Floats, labels: NDArray[np.int64], rule: str) -> tuple[LogitMap, OperatingPoint]:
    logit_map = fit_logit_map(logits, labels)
    return logit_map, choose_operating_point(logit_map(logits), labels, rule, 1.0, chosen_on="recalibrated")


def _figures(scores: ScoreArrays, calibrated: Floats, called: NDArray[np.bool_], seed: int) -> Figures:
    patients = np.unique(scores.patients, return_inverse=True)[1]
    sick = scores.labels == 1
    losses = film_losses(scores.labels, calibrated)
    sums = PatientBootstrap(scores.patients, seed).sums(np.column_stack([losses, np.ones(losses.size)]))
    return Figures(
        sensitivity=rate(called[sick], patients[sick]),
        specificity=rate(~called[~sick], patients[~sick]),
        log_loss=percentiles(float(losses.mean()), sums[:, 0] / sums[:, 1]),
    )


def sample_sizes(sensitivity: float, specificity: float) -> tuple[SampleSize, ...]:
    """How exactly 25 to 400 patients of a class measure these rates, one film each.

    >>> [round(row.sensitivity, 3) for row in sample_sizes(0.9, 0.8)]
    [0.122, 0.085, 0.06, 0.042, 0.03]
    """

    def half(share: float, number: int) -> float:
        low, high = wilson(share * number, number)
        return (high - low) / 2

    return tuple(
        SampleSize(num_patients=number, sensitivity=half(sensitivity, number), specificity=half(specificity, number))
        for number in _SAMPLE_SIZES
    )
