"""Intervals of metrics that follow from sensitivity, specificity and the prevalence, such as F1 and MCC.

The distances of the metric to its values at Wilson's bounds of sensitivity and of specificity are squared and added.
Wilson's bounds are never a point, so neither is the interval; a bootstrap of films without an error is. The prevalence
is held at that of the films. Coverage by simulation, also of the bootstrap: ``docs/metrics.md``.

References:
    Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I (method 10); Zou and Donner
    2008, doi:10.1002/sim.3095 (MOVER).
"""

import math

from pneumocli.metrics.classification import from_confusion, from_counts
from pneumocli.metrics.records import Confusion, Metric

METHOD = "square-and-add of Wilson's bounds of sensitivity and specificity (patients as clusters)"
METRICS = ("balanced_accuracy", "f1", "macro_f1", "mcc", "youden_j", "lr_negative")


def implied_metrics(table: Confusion, sens: Metric, spec: Metric) -> dict[str, Metric]:
    """The metrics of :data:`METRICS` that are defined, with their intervals.

    Args:
        table: The counts.
        sens: Their sensitivity with its interval.
        spec: Their specificity with its interval.

    Returns:
        By name; empty where sensitivity or specificity is undefined.
    """
    rates = (sens.value, sens.low, sens.high), (spec.value, spec.low, spec.high)
    if None in rates[0] or None in rates[1]:
        return {}

    prevalence = (table.tp + table.fn) / (table.tp + table.fp + table.fn + table.tn)

    def at(sensitivity: float | None, specificity: float | None) -> dict[str, float | None]:
        found, kept = float(sensitivity or 0.0), float(specificity or 0.0)
        healthy = 1 - prevalence
        return from_counts(prevalence * found, healthy * (1 - kept), prevalence * (1 - found), healthy * kept)

    centre = from_confusion(table)
    ends = [at(sens.low, spec.value), at(sens.high, spec.value)], [at(sens.value, spec.low), at(sens.value, spec.high)]
    metrics = {}
    for name in METRICS:
        value = centre[name]
        moved = [[end[name] for end in pair] for pair in ends]
        if value is None or any(end is None for pair in moved for end in pair):
            continue
        below = math.hypot(*(max(0.0, value - min(end for end in pair if end is not None)) for pair in moved))
        above = math.hypot(*(max(0.0, max(end for end in pair if end is not None) - value) for pair in moved))
        lowest, highest = _RANGES.get(name, (0.0, 1.0))
        low, high = max(lowest, value - below), min(highest, value + above)
        metrics[name] = Metric(value=value, low=low, high=high, method=METHOD)
    return metrics


_RANGES = {"mcc": (-1.0, 1.0), "youden_j": (-1.0, 1.0), "lr_negative": (0.0, math.inf)}
