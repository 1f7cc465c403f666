"""Metrics of a diagnostic classifier. Arrays in, plain numbers out; what is undefined is ``None``, never 0 or 1.

Throughout, ``labels`` are 0 (NORMAL) and 1 (PNEUMONIA), int (N,); ``predicted`` is bool (N,), true for PNEUMONIA;
``scores`` are any real numbers (N,), higher for PNEUMONIA; ``probabilities`` lie between 0 and 1. Definitions and
sources of all of them stand in ``docs/metrics.md``.
"""

import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.metrics.records import ClassMetrics, Confusion

Labels = NDArray[np.int64]
Numbers = NDArray[np.float64]

MAIN_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "mcc",
    "auroc",
    "average_precision",
    "brier_score",
    "log_loss",
    "calibration_error",
)
"""The metrics that every reader finds in ``metrics.json``, in this order; comparisons give their differences."""

CALIBRATION_BINS = 10
"""Bins of equal width, for the calibration error and the reliability diagram."""


def confusion(labels: ArrayLike, predicted: ArrayLike) -> Confusion:
    """Counts of right and wrong predictions.

    >>> confusion([1, 1, 1, 0, 0], [True, True, False, True, False])
    Confusion(tp=2, fp=1, fn=1, tn=1)
    """
    truth, positive = np.asarray(labels) == 1, np.asarray(predicted, dtype=bool)
    return Confusion(
        tp=int((truth & positive).sum()),
        fp=int((~truth & positive).sum()),
        fn=int((truth & ~positive).sum()),
        tn=int((~truth & ~positive).sum()),
    )


def ratio(part: float, whole: float) -> float | None:
    """``part / whole``; ``None`` where ``whole`` is 0.

    >>> ratio(1, 4), ratio(0, 0)
    (0.25, None)
    """
    return part / whole if whole else None


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Share of right predictions.

    Raises:
        ValueError: There are no films.

    >>> accuracy([1, 1, 0, 0], [True, False, False, False])
    0.75
    """
    right = np.asarray(predicted, dtype=bool) == (np.asarray(labels) == 1)
    if right.size == 0:
        raise ValueError("the accuracy of no films is undefined")
    return float(right.mean())


def sensitivity(labels: ArrayLike, predicted: ArrayLike) -> float | None:
    """Share of the pneumonias that are found, tp / (tp + fn); ``None`` without pneumonias.

    >>> sensitivity([1, 1, 1, 1, 0], [True, True, True, False, True])
    0.75
    """
    table = confusion(labels, predicted)
    return ratio(table.tp, table.tp + table.fn)


def specificity(labels: ArrayLike, predicted: ArrayLike) -> float | None:
    """Share of the healthy films that are called NORMAL, tn / (tn + fp); ``None`` without healthy.

    >>> specificity([0, 0, 0, 0], [False, False, False, True]), specificity([1], [True])
    (0.75, None)
    """
    table = confusion(labels, predicted)
    return ratio(table.tn, table.tn + table.fp)


def from_confusion(table: Confusion) -> dict[str, float | None]:
    """Everything that follows from the four counts.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``sensitivity``, ``specificity``, ``ppv``, ``npv``, ``f1``, ``macro_f1``,
        ``mcc``, ``youden_j``, ``lr_positive``, ``lr_negative``; ``None`` where a denominator is 0.

    >>> values = from_confusion(Confusion(tp=90, fp=20, fn=10, tn=80))
    >>> [round(values[name], 3) for name in ("sensitivity", "specificity", "ppv", "npv", "f1", "mcc", "lr_positive")]
    [0.9, 0.8, 0.818, 0.889, 0.857, 0.704, 4.5]
    """
    return from_counts(table.tp, table.fp, table.fn, table.tn)


def from_counts(tp: float, fp: float, fn: float, tn: float) -> dict[str, float | None]:
    """As :func:`from_confusion`, of counts or of shares of all films.

    >>> from_counts(0.45, 0.1, 0.05, 0.4)["sensitivity"]
    0.9
    """
    sens, spec = ratio(tp, tp + fn), ratio(tn, tn + fp)
    f1 = None if sens is None else ratio(2 * tp, 2 * tp + fp + fn)
    f1_normal = None if spec is None else ratio(2 * tn, 2 * tn + fp + fn)
    return {
        "accuracy": ratio(tp + tn, tp + fp + fn + tn),
        "balanced_accuracy": (sens + spec) / 2 if sens is not None and spec is not None else None,
        "sensitivity": sens,
        "specificity": spec,
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "f1": f1,
        "macro_f1": (f1 + f1_normal) / 2 if f1 is not None and f1_normal is not None else None,
        "mcc": ratio(tp * tn - fp * fn, math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
        "youden_j": sens + spec - 1 if sens is not None and spec is not None else None,
        "lr_positive": ratio(sens, 1 - spec) if sens is not None and spec is not None else None,
        "lr_negative": ratio(1 - sens, spec) if sens is not None and spec is not None else None,
    }


def class_metrics(table: Confusion) -> dict[str, ClassMetrics]:
    """Precision, recall, F1 and support of each class, the table of the field; no F1 of a class without films.

    >>> class_metrics(Confusion(tp=3, fp=1, fn=0, tn=0))["NORMAL"]
    ClassMetrics(precision=None, recall=0.0, f1=0.0, support=1)
    """
    tp, fp, fn, tn = table.tp, table.fp, table.fn, table.tn
    return {
        name: ClassMetrics(
            precision=ratio(right, right + wrongly),
            recall=ratio(right, right + missed),
            f1=ratio(2 * right, 2 * right + wrongly + missed) if right + missed else None,
            support=right + missed,
        )
        for name, right, wrongly, missed in (("NORMAL", tn, fn, fp), ("PNEUMONIA", tp, fp, fn))
    }


def at_prevalence(sens: float, spec: float, prevalence: float) -> tuple[float | None, float | None]:
    """ppv and npv that this sensitivity and specificity give at another prevalence, after Bayes.

    Args:
        sens: Sensitivity, 0-1.
        spec: Specificity, 0-1.
        prevalence: Share of pneumonia among those examined, above 0 and below 1.

    >>> [round(value, 3) for value in at_prevalence(0.9, 0.8, 0.1)]
    [0.333, 0.986]
    """
    found, alarmed = sens * prevalence, (1 - spec) * (1 - prevalence)
    left, missed = spec * (1 - prevalence), (1 - sens) * prevalence
    return ratio(found, found + alarmed), ratio(left, left + missed)


def auroc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Area under the ROC curve; ties count half. ``None`` where the films are of one class.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), auroc([1, 1], [0.2, 0.3])
    (0.75, None)
    """
    from sklearn.metrics import roc_auc_score

    truth = np.asarray(labels)
    if truth.size == 0 or truth.min() == truth.max():
        return None
    return float(roc_auc_score(truth, np.asarray(scores)))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Area under the precision-recall curve as a step function; ``None`` where the films are of one class.

    The baseline is the prevalence: random scores reach it.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    from sklearn.metrics import average_precision_score

    truth = np.asarray(labels)
    if truth.size == 0 or truth.min() == truth.max():
        return None
    return float(average_precision_score(truth, np.asarray(scores)))


def sensitivity_at_specificity(labels: ArrayLike, scores: ArrayLike, wanted: float) -> float | None:
    """The highest sensitivity among thresholds whose specificity is at least ``wanted``; ``None`` for one class.

    >>> sensitivity_at_specificity([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.6, 0.9], 0.75)
    1.0
    """
    from sklearn.metrics import roc_curve

    truth = np.asarray(labels)
    if truth.size == 0 or truth.min() == truth.max():
        return None
    false_positive, true_positive, _ = roc_curve(truth, np.asarray(scores), drop_intermediate=False)
    return float(true_positive[1 - false_positive >= wanted - 1e-12].max())


def specificity_at_sensitivity(labels: ArrayLike, scores: ArrayLike, wanted: float) -> float | None:
    """The highest specificity among thresholds whose sensitivity is at least ``wanted``; ``None`` for one class.

    >>> specificity_at_sensitivity([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.6, 0.9], 1.0)
    0.75
    """
    return sensitivity_at_specificity(1 - np.asarray(labels), -np.asarray(scores), wanted)


def log_loss(labels: ArrayLike, logits: ArrayLike) -> float:
    """Mean cross-entropy of logits, in nats; exact for large logits, where a probability would round to 0 or 1.

    Raises:
        ValueError: There are no films.

    >>> round(log_loss([1, 0], [0.0, 0.0]), 4), log_loss([1], [800.0]), log_loss([0], [800.0])
    (0.6931, 0.0, 800.0)
    """
    truth, values = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    if truth.size == 0:
        raise ValueError("the log loss of no films is undefined")
    return float(film_losses(truth, values).mean())


def film_losses(labels: ArrayLike, logits: ArrayLike) -> Numbers:
    """Cross-entropy of each film, in nats, float64 (N,): how wrong a prediction was."""
    signs = 1 - 2 * np.asarray(labels, dtype=np.float64)
    losses: Numbers = np.logaddexp(0.0, signs * np.asarray(logits, dtype=np.float64))
    return losses


def sigmoid(logits: ArrayLike) -> Numbers:
    """Probabilities of logits, float64, without overflow.

    >>> sigmoid([0.0, -800.0]).tolist()
    [0.5, 0.0]
    """
    from scipy.special import expit

    return np.asarray(expit(np.asarray(logits, dtype=np.float64)))


def brier_score(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared difference between probability and truth; 0 is best.

    >>> round(brier_score([1, 0], [0.8, 0.4]), 4)
    0.1
    """
    return float(np.mean((np.asarray(probabilities, dtype=np.float64) - np.asarray(labels)) ** 2))


def brier_skill(labels: ArrayLike, probabilities: ArrayLike) -> float | None:
    """1 minus the Brier score over that of always predicting the prevalence; 0 is no better than that, 1 is best.

    >>> brier_skill([1, 0], [1.0, 0.0]), brier_skill([1, 1], [1.0, 1.0])
    (1.0, None)
    """
    prevalence = float(np.mean(np.asarray(labels)))
    share = ratio(brier_score(labels, probabilities), prevalence * (1 - prevalence))
    return None if share is None else 1 - share


def calibration_bins(probabilities: ArrayLike) -> NDArray[np.int64]:
    """The bin of each probability: ten of equal width, 1.0 in the last."""
    values = np.asarray(probabilities, dtype=np.float64)
    return np.minimum((values * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def calibration_error(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Expected calibration error: |share of pneumonias - mean probability| per bin, weighted by films.

    >>> round(calibration_error([1, 1, 0, 0], [0.95, 0.95, 0.05, 0.45]), 4)
    0.15
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    gaps = np.bincount(calibration_bins(values), truth - values, CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / truth.size)


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Mean, SD (n - 1) and range of a number over runs; ``None`` where one is undefined or there are fewer than two.

    >>> spread([0.5, 1.0]) == {"mean": 0.75, "sd": 0.125**0.5, "low": 0.5, "high": 1.0}, spread([0.5, None])
    (True, None)
    """
    known = [value for value in values if value is not None]
    if len(known) < max(2, len(values)):
        return None
    return {
        "mean": statistics.fmean(known),
        "sd": statistics.stdev(known),
        "low": min(known),
        "high": max(known),
    }
