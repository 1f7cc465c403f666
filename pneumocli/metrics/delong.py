"""DeLong's variance of AUROCs: a check of the bootstrap, and the paired test of two AUROCs on the same films.

Assumes independent films, which the films of one patient are not: the patient bootstrap is the headline.

References:
    DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595. Midranks in O(n log n): Sun and Xu 2014,
    doi:10.1109/LSP.2014.2337313.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def auroc_covariance(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """AUROCs of several classifiers on the same films, and their covariance.

    Args:
        labels: 0 or 1, (N,); at least two of each.
        scores: (C,N), one row per classifier.

    Returns:
        AUROCs, float64 (C,), and their covariance, float64 (C,C).

    Raises:
        ValueError: A class has fewer than two films.
    """
    from scipy.stats import rankdata

    truth, rows = np.asarray(labels) == 1, np.atleast_2d(np.asarray(scores, dtype=np.float64))
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < 2:
        raise ValueError("DeLong's variance needs two films of each class")
    overall = rankdata(rows, axis=1)
    among_positives = rankdata(rows[:, truth], axis=1)
    among_negatives = rankdata(rows[:, ~truth], axis=1)
    # Share of negatives below each positive, and of positives above each negative; ties count half.
    of_positives = (overall[:, truth] - among_positives) / negatives
    of_negatives = 1 - (overall[:, ~truth] - among_negatives) / positives
    covariance = np.atleast_2d(np.cov(of_positives)) / positives + np.atleast_2d(np.cov(of_negatives)) / negatives
    return of_positives.mean(axis=1), covariance


def auroc_interval(labels: ArrayLike, scores: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """DeLong's interval of one AUROC, clipped to 0-1."""
    from scipy.stats import norm

    areas, covariance = auroc_covariance(labels, scores)
    half = float(norm.ppf((1 + level) / 2)) * float(np.sqrt(max(covariance[0, 0], 0.0)))
    return max(0.0, float(areas[0]) - half), min(1.0, float(areas[0]) + half)


def auroc_difference(labels: ArrayLike, a: ArrayLike, b: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """DeLong's paired test of two AUROCs.

    Returns:
        Low and high of the interval of b - a, and the two-sided p. Without variance p is 1 where the two areas are
        equal, and 0 where they differ.
    """
    from scipy.stats import norm

    areas, covariance = auroc_covariance(labels, np.stack([np.asarray(a, float), np.asarray(b, float)]))
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = float(areas[1] - areas[0])
    spread = float(np.sqrt(max(variance, 0.0)))
    half = float(norm.ppf((1 + level) / 2)) * spread
    without_variance = 1.0 if difference == 0 else 0.0
    p_value = float(2 * norm.sf(abs(difference) / spread)) if spread > 0 else without_variance
    return difference - half, difference + half, p_value
