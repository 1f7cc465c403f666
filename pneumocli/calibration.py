"""Probabilities that mean something: one temperature, fitted on the validation films.

References:
    Temperature scaling: Guo et al. 2017, arXiv:1706.04599. Calibration slope and intercept: Cox 1958,
    doi:10.1093/biomet/45.3-4.562; Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.metrics import log_loss, sigmoid
from pneumocli.records import Metric

_BOUNDS = (-3.0, 3.0)  # natural logarithm of the temperature: 0.05 to 20
_LEAST_OF_A_CLASS = 5
_STEPS = 50


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature that minimises the log loss of ``logits / temperature``.

    Args:
        logits: Of the validation films, (N,).
        labels: 0 or 1, (N,).

    Returns:
        Above 0; 1.0 where no other lowers the log loss, where a class has fewer than five films, or where the classes
        are told apart without a mistake, so that the loss would fall for ever as the temperature does.
    """
    from scipy.optimize import minimize_scalar

    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    positives = int((truth == 1).sum())
    if min(positives, truth.size - positives) < _LEAST_OF_A_CLASS:
        return 1.0
    found = minimize_scalar(lambda log: log_loss(truth, values / np.exp(log)), bounds=_BOUNDS, method="bounded")
    at_edge = min(found.x - _BOUNDS[0], _BOUNDS[1] - found.x) < 0.01
    if at_edge or found.fun >= log_loss(truth, values):
        return 1.0
    return float(np.exp(found.x))


def slope_and_intercept(logits: ArrayLike, labels: ArrayLike, patients: ArrayLike) -> tuple[Metric, Metric]:
    """Logistic recalibration: truth regressed on the logit. Slope 1 and intercept 0 are perfect.

    The intercept is the calibration in the large, with the slope held at 1. Intervals are Wald's on a variance that
    is robust to films clustered in patients.

    Args:
        logits: After division by the temperature, (N,).
        labels: 0 or 1, (N,).
        patients: Patient of each film, (N,).
    """
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    groups = np.unique(np.asarray(patients), return_inverse=True)[1]
    ones = np.ones_like(values)
    slope = _logistic(np.column_stack([ones, values]), np.zeros_like(values), truth, groups, 1)
    intercept = _logistic(ones[:, None], values, truth, groups, 0)
    return slope, intercept


def _logistic(
    design: NDArray[np.float64],
    offset: NDArray[np.float64],
    truth: NDArray[np.float64],
    groups: NDArray[np.int64],
    wanted: int,
) -> Metric:
    """A coefficient of a logistic regression by Newton's method, with a cluster-robust Wald interval."""
    from pneumocli.intervals import undefined

    coefficients = np.zeros(design.shape[1])
    if design.shape[1] == 2:
        coefficients[1] = 1.0
    for _ in range(_STEPS):
        fitted = sigmoid(design @ coefficients + offset)
        information = design.T @ (design * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(information) > 1e12 or not np.isfinite(coefficients).all():
            return undefined("the classes are told apart without a mistake")
        step = np.linalg.solve(information, design.T @ (truth - fitted))
        coefficients = coefficients + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    else:
        return undefined("the classes are told apart without a mistake")
    scores = np.zeros((int(groups.max()) + 1, design.shape[1]))
    np.add.at(scores, groups, design * (truth - fitted)[:, None])
    bread = np.linalg.inv(information)
    spread = float(np.sqrt((bread @ (scores.T @ scores) @ bread)[wanted, wanted]))
    value = float(coefficients[wanted])
    return Metric(
        value=value, low=value - 1.96 * spread, high=value + 1.96 * spread, method="Wald, patient-clustered sandwich"
    )
