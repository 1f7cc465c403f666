"""Intervals and tests of AUROCs on films that come in patients.

The variance is Obuchowski's, which sums DeLong's structural components over each patient; where every film is a patient
of its own, it is DeLong's. The interval is symmetric on the logit scale, where the estimate of an AUROC near 1 is less
skewed, with a t quantile. Its degrees of freedom follow Satterthwaite from the two classes. Near 1 a few patients make
up the whole variance, and the number of patients minus 1 overstates how well it is known: each class contributes the
geometric mean of that number and of the degrees of freedom that the kurtosis of its patients' sums gives. Coverage by
simulation: ``docs/metrics.md``.

References:
    Obuchowski 1997, doi:10.2307/2533958; DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595. Components from
    midranks in O(n log n): Sun and Xu 2014, doi:10.1109/LSP.2014.2337313. Logit scale: Pepe 2003, The Statistical
    Evaluation of Medical Tests, 5.2. Degrees of freedom: Satterthwaite 1946, doi:10.2307/3002019; variance of a sample
    variance, given the kurtosis: Cramer 1946, Mathematical Methods of Statistics, 27.4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.metrics.bootstrap import LEVEL, undefined, wilson
from pneumocli.metrics.classification import sigmoid
from pneumocli.metrics.records import Metric

CLUSTER_DELONG = "cluster DeLong (Obuchowski 1997)"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _PatientSums:
    """Centred structural components of AUROCs, summed over each patient's films.

    Attributes:
        areas: AUROC of each classifier, (C,).
        positives: Sums over a patient's pneumonias, divided by their number in all, (C,K).
        negatives: Sums over a patient's healthy films, divided by their number in all, (C,K).
        has_positives: Whether a patient has pneumonias, bool (K,).
        has_negatives: Whether a patient has healthy films, bool (K,).
    """

    areas: Floats
    positives: Floats
    negatives: Floats
    has_positives: NDArray[np.bool_]
    has_negatives: NDArray[np.bool_]

    @property
    def fewest(self) -> int:
        """Patients of the class that has fewer."""
        return int(min(self.has_positives.sum(), self.has_negatives.sum()))

    def variance(self, weights: ArrayLike) -> tuple[float, float]:
        """Variance of a weighted sum of the areas, and its degrees of freedom.

        Args:
            weights: One per classifier, (C,).
        """
        of_positives, of_negatives = np.asarray(weights) @ self.positives, np.asarray(weights) @ self.negatives
        parts, freedoms = [], []
        for sums in (of_positives[self.has_positives], of_negatives[self.has_negatives]):
            parts.append(sums.size / (sums.size - 1) * float((sums**2).sum()))
            freedoms.append(_degrees_of_freedom(sums))
        clusters = of_positives.size
        between = 2 * clusters / (clusters - 1) * float((of_positives * of_negatives).sum())
        weight = sum(part**2 / freedom for part, freedom in zip(parts, freedoms, strict=True))
        return sum(parts) + between, sum(parts) ** 2 / weight if weight else float(min(freedoms))


def _degrees_of_freedom(sums: Floats) -> float:
    """The geometric mean of n - 1 and 2 / the relative variance of the sample variance, which is at most n - 1."""
    number, second = sums.size, float((sums**2).mean())
    if second == 0:
        return float(number - 1)
    kurtosis = float((sums**4).mean()) / second**2
    relative = kurtosis / number - (number - 3) / (number * (number - 1))
    return float(np.sqrt((number - 1) * min(number - 1, 2 / max(relative, 1e-12))))


def _patient_sums(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> _PatientSums:
    from scipy.stats import rankdata

    truth, rows = np.asarray(labels) == 1, np.atleast_2d(np.asarray(scores, dtype=np.float64))
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    num_positives, num_negatives = int(truth.sum()), int((~truth).sum())
    overall = rankdata(rows, axis=1)
    # Share of negatives below each positive, and of positives above each negative; ties count half.
    of_positives = (overall[:, truth] - rankdata(rows[:, truth], axis=1)) / num_negatives
    of_negatives = 1 - (overall[:, ~truth] - rankdata(rows[:, ~truth], axis=1)) / num_positives
    areas = of_positives.mean(axis=1)

    def summed(components: Floats, chosen: NDArray[np.bool_]) -> Floats:
        centred = (components - areas[:, None]) / components.shape[1]
        return np.stack([np.bincount(patient[chosen], row, names.size) for row in centred])

    return _PatientSums(
        areas,
        summed(of_positives, truth),
        summed(of_negatives, ~truth),
        np.bincount(patient[truth], minlength=names.size) > 0,
        np.bincount(patient[~truth], minlength=names.size) > 0,
    )


def auroc_metric(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> Metric:
    """The AUROC with its interval.

    Where one score separates all films, the variance is 0 and the interval reaches from Wilson's bound for no error
    among the patients of the smaller class to 1: so many pairs of a pneumonia and a healthy patient are independent.

    Args:
        labels: 0 or 1, (N,).
        scores: Any real numbers, (N,).
        patients: Patient of each film, of any kind (N,).

    Returns:
        ``None`` for the value where the films are of one class, and for the ends where a class has fewer than two
        patients or all scores are equal.
    """
    from scipy.stats import t

    truth, values = np.asarray(labels) == 1, np.asarray(scores, dtype=np.float64)
    if not 0 < truth.sum() < truth.size:
        return undefined("the films are of one class")
    sums = _patient_sums(truth, values, patients)
    area = float(sums.areas[0])
    if sums.fewest < 2:
        return Metric(value=area, low=None, high=None, method="no interval: fewer than two patients of a class")
    rule = f"perfect separation: Wilson on the {sums.fewest} patients of the smaller class"
    if values[truth].min() > values[~truth].max():
        return Metric(value=area, low=wilson(sums.fewest, sums.fewest)[0], high=1.0, method=rule)
    if values[truth].max() < values[~truth].min():
        return Metric(value=area, low=0.0, high=wilson(0, sums.fewest)[1], method=rule)
    variance, freedom = sums.variance([1.0])
    if variance <= 0:
        return Metric(value=area, low=None, high=None, method="no interval: the estimated variance is 0")
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * float(np.sqrt(variance)) / (area * (1 - area))
    centre = float(np.log(area / (1 - area)))
    low, high = sigmoid([centre - half, centre + half]).tolist()
    method = f"{CLUSTER_DELONG}, patients as clusters, logit scale, t quantile with {freedom:.1f} degrees of freedom"
    return Metric(value=area, low=low, high=high, method=method)


def auroc_of_films(labels: ArrayLike, scores: ArrayLike) -> Metric:
    """The AUROC with DeLong's own interval, as others report it: every film a patient of its own, normal quantile.

    Args:
        labels: 0 or 1, (N,).
        scores: Any real numbers, (N,).
    """
    from scipy.stats import norm

    truth = np.asarray(labels) == 1
    if min(truth.sum(), (~truth).sum()) < 2:
        return undefined("fewer than two films of a class")
    sums = _patient_sums(truth, scores, np.arange(truth.size))
    area, variance = float(sums.areas[0]), sums.variance([1.0])[0]
    if variance <= 0:
        return Metric(value=area, low=None, high=None, method="no interval: DeLong's variance is 0")
    half = float(norm.ppf((1 + LEVEL) / 2)) * float(np.sqrt(variance))
    low, high = max(0.0, area - half), min(1.0, area + half)
    return Metric(value=area, low=low, high=high, method="DeLong, assumes independent films")


@dataclass(frozen=True, slots=True)
class AurocDifference:
    """The difference of two AUROCs on the same films.

    Attributes:
        areas: Of a and b.
        low: Of the interval of b - a; ``None`` without variance.
        high: Likewise.
        p_value: Two-sided; without variance 1 where the areas are equal and ``None`` where they differ.
        method: How interval and p were made.
    """

    areas: tuple[float, float]
    low: float | None
    high: float | None
    p_value: float | None
    method: str


def auroc_difference(labels: ArrayLike, a: ArrayLike, b: ArrayLike, patients: ArrayLike) -> AurocDifference | None:
    """The paired test of two AUROCs; ``None`` where a class has fewer than two patients.

    Args:
        labels: 0 or 1, (N,).
        a: Scores of one classifier, (N,).
        b: Scores of the other, (N,).
        patients: Patient of each film, of any kind (N,).
    """
    from scipy.stats import t

    truth = np.asarray(labels) == 1
    if not 0 < truth.sum() < truth.size:
        return None
    sums = _patient_sums(truth, np.stack([np.asarray(a, float), np.asarray(b, float)]), patients)
    if sums.fewest < 2:
        return None
    areas = (float(sums.areas[0]), float(sums.areas[1]))
    difference = areas[1] - areas[0]
    variance, freedom = sums.variance([-1.0, 1.0])
    if variance <= 1e-24:  # of rounding: equal rankings, or both separate the classes
        method = f"{CLUSTER_DELONG}, patients as clusters; no interval: the rankings do not differ"
        return AurocDifference(areas, None, None, 1.0 if abs(difference) < 1e-12 else None, method)
    spread = float(np.sqrt(variance))
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * spread
    p_value = float(2 * t.sf(abs(difference) / spread, freedom))
    method = f"{CLUSTER_DELONG}, patients as clusters, t quantile with {freedom:.1f} degrees of freedom"
    return AurocDifference(areas, difference - half, difference + half, p_value, method)
