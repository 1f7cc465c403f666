"""Intervals where the bootstrap gives a point: films that one score separates leave nothing to resample."""

from collections.abc import Mapping

import numpy as np

from pneumocli.metrics.bootstrap import wilson
from pneumocli.metrics.delong import auroc_metric
from pneumocli.metrics.records import Metric
from pneumocli.metrics.scores import ScoreArrays

_AT_FIXED = {
    f"{kept}_at_{fixed}_{percent}": label
    for kept, fixed, label in (("sensitivity", "specificity", 1), ("specificity", "sensitivity", 0))
    for percent in (90, 95)
}
"""Rates at a threshold that the films themselves choose, with the label of the films they are shares of."""


def edge_metrics(scores: ScoreArrays, values: Mapping[str, float | None]) -> dict[str, Metric]:
    """Metrics at 0 or 1 that a bootstrap would give a point for, with an interval that reaches into the range.

    Args:
        scores: The films.
        values: Of the metrics, by name.

    Returns:
        Only those at an edge: ``average_precision`` where one score separates the classes, and the rates at a fixed
        other rate that are 0 or 1.
    """
    found = {}
    for name, label in _AT_FIXED.items():
        value = values[name]
        if value is not None and value in (0.0, 1.0):
            number = len(set(scores.patients[scores.labels == label].tolist()))
            low, high = wilson(value * number, number)
            method = f"all films agree: Wilson on the {number} patients"
            found[name] = Metric(value=value, low=low, high=high, method=method)
    if values["average_precision"] == 1.0 and values["auroc"] == 1.0:
        found["average_precision"] = _perfect_precision(scores)
    return found


def _perfect_precision(scores: ScoreArrays) -> Metric:
    """The average precision if the worst share of healthy films that the AUROC's interval allows outranked all."""
    area = auroc_metric(scores.labels, scores.logits, scores.patients)
    if area.low is None:
        return area.model_copy(update={"value": 1.0})
    positives = int(scores.labels.sum())
    outranking = (1 - area.low) * (len(scores) - positives)
    ranks = np.arange(1, positives + 1)
    low = float((ranks / (ranks + outranking)).mean())
    method = "perfect separation: as if the share 1 - low of the AUROC of the healthy films outranked every pneumonia"
    return Metric(value=1.0, low=low, high=1.0, method=method)
