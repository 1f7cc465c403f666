"""Calibrated probabilities: one temperature, fitted on the validation films.

References:
    Temperature scaling: Guo et al. 2017, arXiv:1706.04599. Calibration slope and intercept: Cox 1958,
    doi:10.1093/biomet/45.3-4.562; Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.metrics.classification import CALIBRATION_BINS, calibration_bins, log_loss, sigmoid
from pneumocli.metrics.records import Metric
from pneumocli.metrics.scores import ScoreArrays

_BOUNDS = (-6.0, 6.0)  # natural logarithm of the temperature in standard deviations of the logits
_LEAST_OF_A_CLASS = 5
_STEPS = 50
_BISECTIONS = 1000  # scores reach 1e100, 370 halvings from a difference of 1e-12
_SINGULAR = 1e12  # condition number above which an information matrix counts as singular

Floats = NDArray[np.float64]


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature that minimises the log loss of ``logits / temperature``.

    Args:
        logits: Of the validation films, (N,).
        labels: 0 or 1, (N,).

    Returns:
        Above 0; 1.0 where no other lowers the log loss, where a class has fewer than five films, where the classes are
        separated without a mistake, so that the loss falls without end as the temperature does, or where it falls
        without end as the temperature rises: logits that do not rank pneumonias higher.
    """
    from scipy.optimize import minimize_scalar

    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    positives = int((truth == 1).sum())
    if min(positives, truth.size - positives) < _LEAST_OF_A_CLASS:
        return 1.0
    # An undertrained network's logits reach several hundred; those of a table of scores may lie within a hundredth.
    scale = float(values.std())
    if scale == 0:
        return 1.0
    found = minimize_scalar(lambda log: log_loss(truth, values / scale / np.exp(log)), bounds=_BOUNDS, method="bounded")
    at_edge = min(found.x - _BOUNDS[0], _BOUNDS[1] - found.x) < 0.01
    if at_edge or found.fun >= log_loss(truth, values):
        return 1.0
    return float(np.exp(found.x)) * scale


def slope_and_intercept(logits: ArrayLike, labels: ArrayLike, patients: ArrayLike) -> tuple[Metric, Metric]:
    """Logistic recalibration: truth regressed on the logit. Slope 1 and intercept 0 are perfect.

    The intercept is the calibration in the large, with the slope held at 1. Intervals are Wald's on a variance that
    is robust to films clustered in patients.

    Args:
        logits: After division by the temperature, (N,).
        labels: 0 or 1, (N,).
        patients: Patient of each film, (N,).
    """
    from pneumocli.metrics.bootstrap import undefined

    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    groups = np.unique(np.asarray(patients), return_inverse=True)[1]
    if not 0 < truth.sum() < truth.size:
        nothing = undefined("the films are of one class")
        return nothing, nothing
    return _slope(values, truth, groups), _intercept(values, truth, groups)


def _slope(values: Floats, truth: Floats, groups: NDArray[np.int64]) -> Metric:
    """The slope of a logistic regression, by Newton's method."""
    from pneumocli.metrics.bootstrap import undefined

    # In units of large logits, and far from their mean, every start but the solution saturates.
    scale = float(values.std())
    if scale == 0:
        return undefined("all films have the same score")
    design = np.column_stack([np.ones_like(values), (values - values.mean()) / scale])
    coefficients = np.zeros(2)
    for _ in range(_STEPS):
        fitted = sigmoid(design @ coefficients)
        information = design.T @ (design * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(information) > _SINGULAR:
            break
        step = np.linalg.solve(information, design.T @ (truth - fitted))
        coefficients = coefficients + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            return _wald(_Converged(float(coefficients[1]), design, truth - fitted, information), groups, scale)
    ill, healthy = values[truth == 1], values[truth == 0]
    apart = ill.min() >= healthy.max() or ill.max() <= healthy.min()
    return undefined("the classes are separated without a mistake" if apart else "the regression does not converge")


def _intercept(values: Floats, truth: Floats, groups: NDArray[np.int64]) -> Metric:
    """The shift of all logits that makes the mean probability the prevalence: it grows with the shift, so bisection."""
    from scipy.optimize import brentq

    edge = float(np.abs(values).max()) + 50.0
    shift = float(
        brentq(lambda by: float((sigmoid(values + by) - truth).sum()), -edge, edge, xtol=1e-12, maxiter=_BISECTIONS)
    )
    fitted = sigmoid(values + shift)
    information = np.array([[float((fitted * (1 - fitted)).sum())]])
    if information[0, 0] < 1 / _SINGULAR:
        return Metric(value=shift, low=None, high=None, method="no interval: every probability is 0 or 1")
    return _wald(_Converged(shift, np.ones((truth.size, 1)), truth - fitted, information), groups)


@dataclass(frozen=True, slots=True)
class _Converged:
    """A regression that has converged: its last coefficient, and what the variance of that follows from.

    Attributes:
        value: The last coefficient.
        design: Regressors, (N,P).
        residuals: Truth minus fitted, (N,).
        information: (P,P).
    """

    value: float
    design: Floats
    residuals: Floats
    information: Floats


def _wald(fit: _Converged, groups: NDArray[np.int64], scale: float = 1.0) -> Metric:
    """The last coefficient over ``scale``, with an interval of the sandwich variance, patients as clusters."""
    from scipy.stats import norm

    from pneumocli.metrics.bootstrap import LEVEL

    scores = np.zeros((int(groups.max()) + 1, fit.design.shape[1]))
    np.add.at(scores, groups, fit.design * fit.residuals[:, None])
    bread = np.linalg.inv(fit.information)
    half = float(norm.ppf((1 + LEVEL) / 2)) * float(np.sqrt((bread @ (scores.T @ scores) @ bread)[-1, -1]))
    if len(scores) < 2 or half < 1e-9:  # residuals of a patient that add up to nothing: no spread is known
        why = "the films are of one patient" if len(scores) < 2 else "every patient's residuals add up to zero"
        return Metric(value=fit.value / scale, low=None, high=None, method=f"no interval: {why}")
    return Metric(
        value=fit.value / scale,
        low=(fit.value - half) / scale,
        high=(fit.value + half) / scale,
        method="Wald, patient-clustered sandwich",
    )


def reliability_rows(scores: ScoreArrays) -> list[list[str]]:
    """The reliability diagram as a table: mean probability, share of pneumonias, films, per bin that has films."""
    bins = calibration_bins(scores.probabilities)
    rows = []
    for number in range(CALIBRATION_BINS):
        chosen = bins == number
        if chosen.any():
            means = scores.probabilities[chosen].mean(), scores.labels[chosen].mean()
            rows.append([f"{means[0]:.1%}", f"{means[1]:.1%}", str(int(chosen.sum()))])
    return rows
