"""One answer per patient, where patients have several films."""

import numpy as np
from numpy.typing import NDArray

from pneumocli.metrics.bootstrap import undefined
from pneumocli.metrics.classification import confusion, sigmoid
from pneumocli.metrics.delong import auroc_metric
from pneumocli.metrics.groups import rates
from pneumocli.metrics.records import Metric, PatientAnswers, PatientLevel
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.metrics.square_and_add import METRICS as IMPLIED
from pneumocli.metrics.square_and_add import implied_metrics

SHOWN = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc", "auroc")
"""The metrics of patients, in their order."""


def patient_level(scores: ScoreArrays, threshold: float) -> PatientLevel | None:
    """The metrics of patients by two rules: the mean of a patient's logits, and any film called PNEUMONIA.

    A patient with films of both labels has no single truth and is left out and counted.

    Args:
        scores: The films.
        threshold: On probabilities.

    Returns:
        ``None`` where no patient has two films of one label, so that a patient is a film.
    """
    names, patient = np.unique(scores.patients, return_inverse=True)
    films = np.bincount(patient)
    ill = np.bincount(patient, scores.labels)
    mixed = (ill > 0) & (ill < films)
    if not (films[~mixed] > 1).any():
        return None
    labels = (ill[~mixed] > 0).astype(np.int64)
    mean = np.bincount(patient, scores.logits) / films
    highest = np.full(len(names), -np.inf)
    np.maximum.at(highest, patient, scores.logits)
    any_positive = np.bincount(patient, scores.probabilities >= threshold) > 0
    # Between those of his films, which a table gives to the last digit: the mean of equal ones is what they are.
    least, most = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(least, patient, scores.probabilities)
    np.maximum.at(most, patient, scores.probabilities)
    called = np.clip(sigmoid(mean / scores.temperature), least, most) >= threshold
    return PatientLevel(
        num_patients=labels.size,
        num_normal=int((labels == 0).sum()),
        num_pneumonia=int(labels.sum()),
        num_with_several_films=int((films[~mixed] > 1).sum()),
        most_films=int(films[~mixed].max()),
        num_with_both_labels=int(mixed.sum()),
        mean_logit=_answers(labels, mean[~mixed], called[~mixed]),
        any_positive=_answers(labels, highest[~mixed], any_positive[~mixed]),
    )


def _answers(labels: NDArray[np.int64], logits: NDArray[np.float64], called: NDArray[np.bool_]) -> PatientAnswers:
    """Counts and metrics of patients, who are independent of each other."""
    each = np.arange(labels.size)
    table = confusion(labels, called)
    metrics: dict[str, Metric] = rates(labels, called, each)
    metrics |= implied_metrics(table, metrics["sensitivity"], metrics["specificity"])
    metrics["auroc"] = auroc_metric(labels, logits, each)
    missing = {name: undefined("a denominator is zero") for name in IMPLIED}
    return PatientAnswers(confusion=table, metrics={name: (missing | metrics)[name] for name in SHOWN})
