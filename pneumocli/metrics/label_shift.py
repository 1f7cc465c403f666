"""The prevalence among films without their labels, if nothing but the shares of the classes has changed.

A network's probabilities assume the prevalence of its training films. Where another place differs from them in its
prevalence alone (label shift), the probabilities themselves show by how much, and can be corrected for it. Where the
films differ in any other way the estimate is wrong, and nothing in it shows that.

References:
    Saerens, Latinne and Decaestecker 2002, doi:10.1162/089976602753284446.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.metrics.bootstrap import PatientBootstrap, percentiles, rate
from pneumocli.metrics.classification import brier_score
from pneumocli.metrics.groups import rates
from pneumocli.metrics.records import LabelShift, Metric
from pneumocli.metrics.scores import ScoreArrays

Floats = NDArray[np.float64]

METHOD = "fixed point of the EM algorithm (Saerens 2002), patient-cluster bootstrap; assumes label shift alone"

_EDGE = 1e-6  # how near to 0 and 1 an estimate is looked for; beyond, it is 0 or 1
_HALVINGS = 60
_GRID_LOGITS = np.linspace(-12.0, 12.0, 97)  # where a resample's estimate is looked for; 2e-3 apart at the most

# A probability of exactly 0 or 1 would hold against any prevalence.
_LEAST = 1e-12


def at_prevalence(probabilities: ArrayLike, assumed: float, prevalence: ArrayLike) -> Floats:
    """Probabilities as they would be at another prevalence, after Bayes.

    Args:
        probabilities: Of PNEUMONIA, at the assumed prevalence, (N,).
        assumed: Prevalence that they assume, above 0 and below 1.
        prevalence: The other one, 0-1; an array that broadcasts against the probabilities gives one for each.

    >>> at_prevalence([0.5, 0.8], 0.5, 0.2).round(3).tolist()
    [0.2, 0.5]
    """
    values = np.clip(np.asarray(probabilities, dtype=np.float64), _LEAST, 1 - _LEAST)
    other = np.asarray(prevalence, dtype=np.float64)
    ill, healthy = values * other / assumed, (1 - values) * (1 - other) / (1 - assumed)
    corrected: Floats = ill / (ill + healthy)
    return corrected


def estimated_prevalence(probabilities: ArrayLike, assumed: float) -> float:
    """The prevalence at which the mean of the corrected probabilities is that prevalence itself.

    This is where the EM algorithm of Saerens 2002 comes to rest, the maximum of the likelihood. It is found by halving
    an interval, because EM takes thousands of steps towards 0 or 1.

    Args:
        probabilities: Of PNEUMONIA, at the assumed prevalence, (N,), at least one.
        assumed: Prevalence that they assume, above 0 and below 1.

    Returns:
        0 or 1 where the likelihood grows up to that end.

    Of a test that is positive in 27 of 35 ill and 3 of 35 healthy, at a prevalence of 0.5, a positive answer means a
    probability of 0.9 and a negative one of 0.2. If 6 of 10 answers are positive, 27/35 x + 3/35 (1 - x) = 0.6:

    >>> round(estimated_prevalence([0.9] * 6 + [0.2] * 4, 0.5), 9)
    0.75
    """
    values = np.asarray(probabilities, dtype=np.float64)

    def rises(prevalence: float) -> bool:
        return float(at_prevalence(values, assumed, prevalence).mean()) > prevalence

    low, high = _EDGE, 1 - _EDGE
    if not rises(low):
        return 0.0
    if rises(high):
        return 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) else (low, middle)
    return (low + high) / 2


def drawn_prevalences(probabilities: ArrayLike, assumed: float, bootstrap: PatientBootstrap) -> Floats:
    """:func:`estimated_prevalence` in each resample of patients, (R,): between the points of a grid by a straight line.

    Args:
        probabilities: Of PNEUMONIA, at the assumed prevalence, (N,).
        assumed: Prevalence that they assume, above 0 and below 1.
        bootstrap: Draws the patients.
    """
    grid = 1 / (1 + np.exp(-_GRID_LOGITS))
    rise = bootstrap.sums(at_prevalence(np.asarray(probabilities)[:, None], assumed, grid) - grid)  # (R, grid)
    falls = rise <= 0
    first = np.where(falls.any(axis=1), falls.argmax(axis=1), grid.size)
    after = np.clip(first, 1, grid.size - 1)
    rows = np.arange(len(rise))
    above, below = rise[rows, after - 1], rise[rows, after]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = grid[after - 1] + (grid[after] - grid[after - 1]) * above / (above - below)
    return np.where(first == 0, 0.0, np.where(first == grid.size, 1.0, between))


def label_shift(scores: ScoreArrays, assumed: float | None, threshold: float, seed: int) -> LabelShift | None:
    """What the probabilities of films suggest about their prevalence, and what a correction for it would do.

    Args:
        scores: The films; their labels are used for what stands beside the estimate alone.
        assumed: Prevalence that the probabilities assume; ``None`` where it is not known.
        threshold: On probabilities, before and after the correction.
        seed: Of the bootstrap.

    Returns:
        ``None`` where the assumed prevalence is not known, or is 0 or 1.
    """
    if assumed is None or not 0 < assumed < 1:
        return None
    bootstrap = PatientBootstrap(scores.patients, seed)
    value = estimated_prevalence(scores.probabilities, assumed)
    estimate = percentiles(value, drawn_prevalences(scores.probabilities, assumed, bootstrap), METHOD)
    truth = rate(scores.labels == 1, scores.patients)
    corrected = at_prevalence(scores.probabilities, assumed, value)
    called = corrected >= threshold
    found = rates(scores.labels, called, scores.patients)
    return LabelShift(
        assumed_prevalence=assumed,
        estimated_prevalence=estimate,
        true_prevalence=truth,
        contradicted=_contradicted(estimate, truth),
        corrected={name: found[name] for name in ("accuracy", "sensitivity", "specificity")}
        | {"brier_score": _brier(bootstrap, scores.labels, corrected)},
    )


def _contradicted(estimate: Metric, truth: Metric) -> bool | None:
    """Whether the two intervals have nothing in common; an estimate that no resample moves is a point."""
    if estimate.value is None or truth.low is None or truth.high is None:
        return None
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    return high < truth.low or truth.high < low


def _brier(bootstrap: PatientBootstrap, labels: NDArray[Any], probabilities: Floats) -> Metric:
    sums = bootstrap.sums(np.column_stack([np.ones(labels.size), (probabilities - labels) ** 2]))
    return percentiles(brier_score(labels, probabilities), sums[:, 1] / sums[:, 0])
