"""95 % intervals for films that come in patients: several films of one child are not independent.

Rates get Wilson's interval on the effective number of films, the number divided by the design effect. What follows
from them is in :mod:`pneumocli.metrics.square_and_add`, the AUROC in :mod:`pneumocli.metrics.delong`. Everything else
gets the percentiles of a bootstrap that draws patients, not films. On the official test split's patient sizes plain
Wilson on films covers the truth in 80-88 % of simulated studies, this one in 90-96 % (``docs/metrics.md``).

References:
    Wilson 1927, doi:10.1080/01621459.1927.10502953. Design effect of a clustered proportion: Rao and Scott 1992,
    doi:10.2307/2532311. Cluster bootstrap: Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.metrics.classification import CALIBRATION_BINS, calibration_bins, film_losses
from pneumocli.metrics.records import Metric

LEVEL = 0.95
RESAMPLES = 2000
RATE_METHOD = "Wilson on the effective number of films (patients as clusters)"
_ROUNDING = 1e-12
BOOTSTRAP_METHOD = f"patient-cluster bootstrap, {RESAMPLES} resamples, percentiles"

# Resamples are worked through in blocks of about this many weights: 1 MB each, which stay in a core's cache.
_BLOCK_WEIGHTS = 100_000

Floats = NDArray[np.float64]


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Wilson's interval of a proportion.

    Args:
        successes: May be fractional, as effective numbers are.
        trials: Above 0.

    Returns:
        Low and high, 0-1.

    >>> [round(bound, 4) for bound in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    from scipy.stats import norm

    z = float(norm.ppf((1 + LEVEL) / 2))
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * float(np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))) / (1 + z * z / trials)
    # At 0 and 1 rounding may put the near end on the wrong side of the share.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def effective_number(hits: ArrayLike, patients: ArrayLike) -> float:
    """How many independent films these films are worth.

    Args:
        hits: 0 or 1 for each film, (n,).
        patients: Patient of each film, whole numbers (n,).

    Returns:
        n over the design effect; never above n, and the number of patients where all hits are equal and the
        dependence cannot be estimated.
    """
    values = np.asarray(hits, dtype=np.float64)
    groups = np.unique(np.asarray(patients), return_inverse=True)[1]
    number, clusters, share = values.size, int(groups.max()) + 1, float(values.mean())
    if share in (0.0, 1.0) or clusters < 2:
        return float(clusters)
    residuals = np.bincount(groups, values - share)
    clustered = clusters / (clusters - 1) * float((residuals**2).sum()) / number**2
    effect = clustered / (share * (1 - share) / number)
    return number / max(1.0, effect)


def rate(hits: ArrayLike, patients: ArrayLike) -> Metric:
    """The share of hits with its interval; undefined without films.

    Args:
        hits: 0 or 1 for each film, (n,).
        patients: Patient of each film, whole numbers (n,).
    """
    values = np.asarray(hits, dtype=np.float64)
    if values.size == 0:
        return undefined("no films")
    share, effective = float(values.mean()), effective_number(values, patients)
    low, high = wilson(share * effective, effective)
    return Metric(value=share, low=low, high=high, method=RATE_METHOD)


def undefined(reason: str) -> Metric:
    """A metric without a value."""
    return Metric(value=None, low=None, high=None, method=f"undefined: {reason}")


def percentiles(value: float | None, drawn: Floats, method: str = BOOTSTRAP_METHOD) -> Metric:
    """A value with the percentiles of its bootstrap distribution.

    Args:
        value: On the films themselves.
        drawn: On each resample, NaN where undefined.
        method: How they were drawn.
    """
    if value is None:
        return undefined("a denominator is zero")
    known = drawn[np.isfinite(drawn)]
    if known.size < drawn.size / 2:
        return Metric(value=value, low=None, high=None, method="no interval: undefined in most resamples")
    found = interval(known)
    if found is None:
        return Metric(value=value, low=None, high=None, method="no interval: the resamples do not differ")
    low, high = found
    if not low - _ROUNDING <= value <= high + _ROUNDING:
        # Of few films, the calibration error: it is a sum of absolute values, so every resample adds to it.
        return Metric(value=value, low=None, high=None, method="no interval: the resamples lie beside the value")
    return Metric(value=value, low=low, high=high, method=method)


def interval(drawn: Floats) -> tuple[float, float] | None:
    """The percentiles of values drawn, all of them finite; ``None`` where they would be a point."""
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return None if high - low < _ROUNDING else (float(low), float(high))


class PatientBootstrap:
    """Draws patients with replacement and computes metrics on every draw, vectorised over the draws.

    Args:
        patients: Patient of each film, (N,), of any kind.
        seed: Decides the draws: the same seed gives the same numbers, and pairs two runs on the same draws.
        resamples: Number of draws.
    """

    def __init__(self, patients: Sequence[str] | NDArray[np.generic], seed: int, resamples: int = RESAMPLES) -> None:
        names, self._patient = np.unique(np.asarray(patients), return_inverse=True)
        self.num_patients = len(names)
        self._seed = seed
        self._resamples = resamples

    def _patient_weights(self, films: int) -> Iterator[NDArray[np.float64]]:
        """How often each patient is drawn, float64 (block,K), block by block."""
        rng = np.random.default_rng(self._seed)
        block = max(1, min(self._resamples, _BLOCK_WEIGHTS // max(1, films, self.num_patients)))
        for start in range(0, self._resamples, block):
            count = min(block, self._resamples - start)
            drawn = rng.integers(self.num_patients, size=(count, self.num_patients))
            offsets = np.arange(count)[:, None] * self.num_patients
            flat = np.bincount((drawn + offsets).ravel(), minlength=count * self.num_patients)
            yield flat.reshape(count, self.num_patients).astype(np.float64)

    def sums(self, columns: Floats) -> Floats:
        """Weighted sums over films of each column, in each resample: (N,C) to (R,C)."""
        per_patient = np.zeros((self.num_patients, columns.shape[1]))
        np.add.at(per_patient, self._patient, columns)
        return np.concatenate([weights @ per_patient for weights in self._patient_weights(0)])

    def film_weights(self, order: NDArray[np.intp]) -> Iterator[Floats]:
        """How often each film is drawn, (block,N), block by block.

        Args:
            order: The films, in the order of the columns, (N,).
        """
        for weights in self._patient_weights(order.size):
            yield weights[:, self._patient[order]]

    def rankings(self, labels: ArrayLike, scores: ArrayLike) -> dict[str, Floats]:
        """``auroc``, ``average_precision`` and sensitivities at fixed specificities and the reverse, per resample.

        Args:
            labels: 0 or 1, (N,).
            scores: Any real numbers, (N,).

        Returns:
            float64 (R,) by name, NaN where undefined.
        """
        truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
        order = np.argsort(-values, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(values[order]) != 0])  # first film of each distinct score
        positive = (truth[order] == 1).astype(np.float64)
        parts = [_ranked(weights, positive, starts) for weights in self.film_weights(order)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _ranked(weights: Floats, positive: Floats, starts: NDArray[np.int64]) -> dict[str, Floats]:
    """Ranking metrics of weighted films in descending order of score, (R,N) to (R,)."""
    tp, total = weights * positive, weights
    if starts.size < weights.shape[1]:
        tp, total = np.add.reduceat(tp, starts, axis=1), np.add.reduceat(total, starts, axis=1)
    hits, called = np.cumsum(tp, axis=1), np.cumsum(total, axis=1)
    alarms = called - hits
    positives, negatives = hits[:, -1], alarms[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        # A negative is outranked by the positives above it, and by half of those at its own score.
        outranked = np.einsum("rn,rn->r", total - tp, hits) - np.einsum("rn,rn->r", total - tp, tp) / 2
        # Weights are whole numbers: where nothing is called yet there are no hits either, and 0 / 1 is right.
        stepped = np.einsum("rn,rn->r", tp, hits / np.maximum(called, 1.0))
        found = {"auroc": outranked / (positives * negatives), "average_precision": stepped / positives}
        for percent in (90, 95):
            found |= _at_fixed(hits, alarms, percent)
    both = (positives > 0) & (negatives > 0)
    return {name: np.where(both, values, np.nan) for name, values in found.items()}


def _at_fixed(hits: Floats, alarms: Floats, percent: int) -> dict[str, Floats]:
    """Sensitivity at a specificity and the reverse: hits and alarms only grow along a row, so each is one search."""
    wanted = percent / 100 - 1e-12
    positives, negatives = hits[:, -1], alarms[:, -1]
    sensitivities, specificities = np.zeros(len(hits)), np.zeros(len(hits))
    for row, (hit, alarm) in enumerate(zip(hits, alarms, strict=True)):
        last = int(np.searchsorted(alarm, negatives[row] * (1 - wanted), side="right")) - 1
        first = int(np.searchsorted(hit, positives[row] * wanted, side="left"))
        # Before the first film nothing is called positive: sensitivity 0.
        sensitivities[row] = hit[last] if last >= 0 else 0.0
        specificities[row] = negatives[row] - alarm[first]
    return {
        f"sensitivity_at_specificity_{percent}": sensitivities / positives,
        f"specificity_at_sensitivity_{percent}": specificities / negatives,
    }


def drawn_counts(bootstrap: PatientBootstrap, labels: ArrayLike, predicted: ArrayLike) -> dict[str, Floats]:
    """Everything that follows from the four counts, in each resample: float64 (R,) by name, NaN where undefined."""
    truth, called = np.asarray(labels) == 1, np.asarray(predicted, dtype=bool)
    cells = np.stack([truth & called, ~truth & called, truth & ~called, ~truth & ~called], axis=1).astype(np.float64)
    tp, fp, fn, tn = bootstrap.sums(cells).T
    with np.errstate(divide="ignore", invalid="ignore"):
        sens, spec = tp / (tp + fn), tn / (tn + fp)
        f1 = np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan)
        f1_normal = np.where(tn + fp > 0, 2 * tn / (2 * tn + fp + fn), np.nan)
        return {
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
            "balanced_accuracy": (sens + spec) / 2,
            "sensitivity": sens,
            "specificity": spec,
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "f1": f1,
            "macro_f1": (f1 + f1_normal) / 2,
            "mcc": (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
            "youden_j": sens + spec - 1,
            "lr_positive": sens / (1 - spec),
            "lr_negative": (1 - sens) / spec,
        }


def calibrated(
    bootstrap: PatientBootstrap, labels: ArrayLike, logits: ArrayLike, probabilities: ArrayLike
) -> dict[str, Floats]:
    """``brier_score``, ``brier_skill``, ``log_loss`` and ``calibration_error`` in each resample: float64 (R,) by name.

    Args:
        bootstrap: Draws the patients.
        labels: 0 or 1, (N,).
        logits: After division by the temperature, (N,).
        probabilities: 0-1, (N,).
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    bins = np.zeros((truth.size, CALIBRATION_BINS))
    bins[np.arange(truth.size), calibration_bins(values)] = truth - values
    columns = np.column_stack([np.ones_like(truth), truth, (values - truth) ** 2, film_losses(truth, logits), bins])
    sums = bootstrap.sums(columns)
    number, prevalence = sums[:, 0], sums[:, 1] / sums[:, 0]
    brier = sums[:, 2] / number
    with np.errstate(divide="ignore", invalid="ignore"):
        skill = 1 - brier / (prevalence * (1 - prevalence))
    return {
        "brier_score": brier,
        "brier_skill": skill,
        "log_loss": sums[:, 3] / number,
        "calibration_error": np.abs(sums[:, 4:]).sum(axis=1) / number,
    }


def all_drawn(
    bootstrap: PatientBootstrap, labels: ArrayLike, logits: ArrayLike, probabilities: ArrayLike, threshold: float
) -> dict[str, Floats]:
    """Every bootstrapped metric in each resample: what one run's intervals and two runs' differences are made of."""
    predicted = np.asarray(probabilities) >= threshold
    return (
        drawn_counts(bootstrap, labels, predicted)
        | bootstrap.rankings(labels, logits)
        | calibrated(bootstrap, labels, logits, probabilities)
    )
