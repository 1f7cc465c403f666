"""How a model with limits for referral does: coverage per class, share referred, error among the answered."""

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.records import CLASS_NAMES
from pneumocli.metrics.bootstrap import rate
from pneumocli.metrics.records import Referral, RiskPoint
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.model.card import ReferLimits
from pneumocli.shift.conformal import sets_of

_MOST_POINTS = 60


def referral(scores: ScoreArrays, limits: ReferLimits | None) -> Referral | None:
    """What the limits give on scored films; ``None`` for a model without.

    Args:
        scores: At least one film.
        limits: Of the model.
    """
    if limits is None:
        return None
    sets = sets_of(limits, scores.logits)
    covered = sets[np.arange(len(scores)), scores.labels]
    answered = sets.sum(axis=1) == 1
    middle = (limits.normal_up_to + limits.pneumonia_from) / 2
    return Referral(
        alpha=limits.alpha,
        coverage={
            name: rate(covered[scores.labels == label], scores.patients[scores.labels == label])
            for label, name in enumerate(CLASS_NAMES)
        },
        num_referred=int((~answered).sum()),
        num_without_class=int((~sets.any(axis=1)).sum()),
        referred=rate(~answered, scores.patients),
        num_wrong=int((~covered[answered]).sum()),
        error=rate(~covered[answered], scores.patients[answered]),
        risk=risk_points(scores.logits, scores.labels, middle, keep=int(answered.sum())),
    )


def risk_points(
    logits: NDArray[np.float64], labels: NDArray[np.int64], middle: float, keep: int = 0
) -> tuple[RiskPoint, ...]:
    """The error among the answered as a band about ``middle``, whose films are referred, narrows from all to nothing.

    Args:
        logits: Of pneumonia, (N,).
        labels: 0 or 1, (N,).
        middle: Films below it are answered NORMAL, the others PNEUMONIA.
        keep: The point with so many answered films stays where a long curve is thinned.

    Returns:
        From few films to all; films of the same distance are answered together.

    >>> [(point.answered, point.error) for point in risk_points(np.array([-3.0, 2, -1, 1]), np.array([0, 1, 1, 1]), 0)]
    [(0.25, 0.0), (0.5, 0.0), (1.0, 0.25)]
    """
    distance = np.abs(logits - middle)
    order = np.argsort(-distance, kind="stable")
    wrong = np.cumsum(((logits >= middle) != (labels == 1))[order])
    ends = np.flatnonzero(np.append(np.diff(distance[order]) != 0, True))
    if len(ends) > _MOST_POINTS:
        chosen = ends[np.linspace(0, len(ends) - 1, _MOST_POINTS).round().astype(int)]
        ends = np.unique([*chosen, *ends[ends == keep - 1]])
    return tuple(
        RiskPoint(answered=float((end + 1) / len(logits)), error=float(wrong[end] / (end + 1))) for end in ends
    )
