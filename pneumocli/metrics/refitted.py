"""The threshold that would give the stored sensitivity on other films, fitted on these very films."""

import numpy as np
from numpy.typing import NDArray

from pneumocli.metrics.bootstrap import PatientBootstrap, percentiles
from pneumocli.metrics.groups import rates
from pneumocli.metrics.records import RefittedThreshold
from pneumocli.metrics.scores import ScoreArrays

Floats = NDArray[np.float64]

METHOD = "patient-cluster bootstrap that fits the threshold anew on each resample, percentiles"

_ROUNDING = 1e-9  # 0.95 of 20 pneumonias are 19, whatever a product of floats gives


def refitted_threshold(scores: ScoreArrays, wanted: float | None, seed: int) -> RefittedThreshold | None:
    """The highest threshold whose sensitivity on these films is at least ``wanted``, and what it leaves of specificity.

    Args:
        scores: The films.
        wanted: The sensitivity stored with the model; ``None`` where there is none.
        seed: Of the bootstrap.

    Returns:
        ``None`` where there is no sensitivity to reach, or the films are of one class.
    """
    if wanted is None or not 0 < int(scores.labels.sum()) < len(scores):
        return None
    order = np.argsort(-scores.logits, kind="stable")
    probabilities, ill = scores.probabilities[order], (scores.labels[order] == 1).astype(np.float64)
    threshold, specificity = _fitted(np.ones((1, ill.size)), ill, probabilities, wanted)
    bootstrap = PatientBootstrap(scores.patients, seed)
    drawn = [_fitted(weights, ill, probabilities, wanted) for weights in bootstrap.film_weights(order)]
    thresholds, specificities = (np.concatenate(part) for part in zip(*drawn, strict=True))
    found = rates(scores.labels, scores.probabilities >= threshold[0], scores.patients)
    return RefittedThreshold(
        wanted_sensitivity=wanted,
        threshold=percentiles(float(threshold[0]), thresholds, METHOD),
        sensitivity=found["sensitivity"],
        specificity=percentiles(float(specificity[0]), specificities, METHOD),
    )


def _fitted(weights: Floats, ill: Floats, probabilities: Floats, wanted: float) -> tuple[Floats, Floats]:
    """Threshold and specificity in each resample, (R,), NaN where it has one class.

    Args:
        weights: How often each film is drawn, (R,N), the highest score first.
        ill: 0 or 1, (N,).
        probabilities: From the highest to the lowest, (N,).
        wanted: Sensitivity to reach, 0-1.
    """
    hits = np.cumsum(weights * ill, axis=1)
    positives = hits[:, -1]
    place = (hits >= (wanted * positives)[:, None] - _ROUNDING).argmax(axis=1)
    threshold = probabilities[place]
    healthy = weights * (1 - ill)
    with np.errstate(divide="ignore", invalid="ignore"):
        negatives = healthy.sum(axis=1)
        # Films at the threshold's own probability are called PNEUMONIA, too.
        specificity = (healthy * (probabilities[None, :] < threshold[:, None])).sum(axis=1) / negatives
    both = (positives > 0) & (negatives > 0)
    return np.where(both, threshold, np.nan), np.where(both, specificity, np.nan)
