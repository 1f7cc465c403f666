"""Thresholds, chosen on validation films and on nothing else.

References:
    Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3. Cost ratios: Metz 1978,
    doi:10.1016/S0001-2998(78)80014-2.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.core.amounts import counted
from pneumocli.core.records import HARD_BALANCED
from pneumocli.metrics.classification import sensitivity, sigmoid, specificity
from pneumocli.metrics.groups import LEAST_FILMS
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.model.card import OperatingPoint

Floats = NDArray[np.float64]

FEW_FILMS = 100
"""Validation films of a class below which a chosen threshold is mostly chance."""

EASY_AUROC = 0.995
"""Validation AUROC above which there are too few mistakes to place a threshold by."""


def choose_operating_point(  # noqa: PLR0913 - the films in three columns, and what to choose by
    logits: ArrayLike,
    labels: ArrayLike,
    rule: str,
    temperature: float,
    *,
    hard: NDArray[np.bool_] | None = None,
    chosen_on: Literal["val", "out-of-fold", "recalibrated"] = "val",
) -> OperatingPoint:
    """The threshold that a rule gives on the validation films.

    Candidates lie halfway between neighbouring distinct probabilities, so that a film's rounding does not move it
    across. Ties go to the threshold nearest to 0.5.

    Args:
        logits: Of the validation films, (N,).
        labels: 0 or 1, (N,).
        rule: ``0.5`` (fixed beforehand); ``youden``: highest sensitivity + specificity; ``sensitivity=X``: highest
            specificity among thresholds with at least this sensitivity; ``specificity=X``: the reverse; ``cost=X``:
            fewest mistakes where a missed pneumonia counts X false alarms; ``hard-balanced``: least difference of
            sensitivity and specificity on the hard films alone.
        temperature: Divides the logits.
        hard: Which films are hard, (N,); ``None`` where films are neither hard nor easy.
        chosen_on: What the films are to the model.

    Returns:
        The threshold on probabilities, with the sensitivity and specificity it gave on all these films. The rule falls
        back to 0.5 where the films are of one class, or too few of them are hard; its name then gives the reason.
    """
    truth = np.asarray(labels)
    probabilities = sigmoid(np.asarray(logits, dtype=np.float64) / temperature)
    lacking = _lacking(truth, rule, hard)
    if rule == "0.5" or lacking:
        return _point(truth, probabilities, 0.5, f"0.5 ({rule} needs {lacking})" if lacking else rule, "fixed")
    judged = np.ones(truth.size, bool) if rule != HARD_BALANCED or hard is None else hard
    distinct = np.unique(probabilities[judged])
    candidates = np.concatenate(([0.0], (distinct[1:] + distinct[:-1]) / 2, [1.0]))
    sens, spec = _rates(truth[judged], probabilities[judged], candidates)
    worth = _worth(rule, sens, spec, truth)
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    chosen = best[np.argmin(np.abs(candidates[best] - 0.5))]
    return _point(truth, probabilities, float(candidates[chosen]), rule, chosen_on)


def _lacking(truth: NDArray[np.generic], rule: str, hard: NDArray[np.bool_] | None) -> str | None:
    """What a rule needs and these films do not have."""
    if rule == "0.5":
        return None
    if rule == HARD_BALANCED:
        counts = [0, 0] if hard is None else [int((truth[hard] == label).sum()) for label in (0, 1)]
        return f"{LEAST_FILMS} hard films of each class" if min(counts) < LEAST_FILMS else None
    return "both classes" if truth.size == 0 or truth.min() == truth.max() else None


def counts_at(thresholds: Floats, scores: ScoreArrays) -> NDArray[np.int64]:
    """Counts of right and wrong predictions at each of several thresholds on the probability.

    Args:
        thresholds: (T,), 0-1.
        scores: The films.

    Returns:
        (T,4): true positives, false positives, false negatives, true negatives.
    """
    positive = np.sort(scores.probabilities[scores.labels == 1])
    negative = np.sort(scores.probabilities[scores.labels == 0])
    missed = np.searchsorted(positive, thresholds, side="left")
    cleared = np.searchsorted(negative, thresholds, side="left")
    return np.stack([positive.size - missed, negative.size - cleared, missed, cleared], axis=1)


def _rates(truth: Floats, probabilities: Floats, thresholds: Floats) -> tuple[Floats, Floats]:
    """Sensitivity and specificity at each threshold."""
    positive, negative = np.sort(probabilities[truth == 1]), np.sort(probabilities[truth == 0])
    below_positive = np.searchsorted(positive, thresholds, side="left")
    below_negative = np.searchsorted(negative, thresholds, side="left")
    return 1 - below_positive / positive.size, below_negative / negative.size


def _worth(rule: str, sens: Floats, spec: Floats, truth: Floats) -> Floats:
    """The value of each threshold under the rule; the highest is chosen."""
    if rule == "youden":
        return sens + spec
    if rule == HARD_BALANCED:
        return -np.abs(sens - spec)
    name, _, number = rule.partition("=")
    wanted = float(number)
    if name == "cost":
        prevalence = float(np.mean(truth))
        return -(wanted * (1 - sens) * prevalence + (1 - spec) * (1 - prevalence))
    kept, other = (sens, spec) if name == "sensitivity" else (spec, sens)
    return np.where(kept >= wanted - 1e-12, 1 + other, kept)


def _point(
    truth: NDArray[np.generic],
    probabilities: Floats,
    threshold: float,
    rule: str,
    chosen_on: Literal["fixed", "val", "out-of-fold", "recalibrated"],
) -> OperatingPoint:
    predicted = probabilities >= threshold
    return OperatingPoint(
        threshold=threshold,
        rule=rule,
        chosen_on=chosen_on,
        sensitivity=sensitivity(truth, predicted),
        specificity=specificity(truth, predicted),
    )


def doubts(num_positive: int, num_negative: int, val_auroc: float | None, rule: str) -> str | None:
    """Why a threshold chosen on these validation films may not carry over; ``None`` where there is no reason."""
    if rule == "0.5":
        return None
    fewest = min(num_positive, num_negative)
    advice = "--val block holds out films that differ from training as the test does"
    if fewest < FEW_FILMS:
        films = counted(fewest, "film")
        return f"the threshold ({rule}) was chosen on {films} of one class: too few to carry over; {advice}"
    if val_auroc is not None and val_auroc > EASY_AUROC:
        return (
            f"the threshold ({rule}) was chosen on validation films that are nearly all separated "
            f"(AUROC {val_auroc:.1%}): it may not carry over to harder films; {advice}"
        )
    return None


def net_benefits(scores: ScoreArrays) -> list[tuple[float, float, float]]:
    """Net benefit by threshold probability: of acting on the model, and of acting on every film.

    A false alarm costs the odds of the threshold: at 0.2, four false alarms weigh as much as a found pneumonia.

    References:
        Vickers and Elkin 2006, doi:10.1177/0272989X06295361.
    """
    positive, rows = scores.labels == 1, []
    for percent in range(1, 100):
        threshold = percent / 100
        called, odds = scores.probabilities >= threshold, threshold / (1 - threshold)
        model = (called & positive).mean() - odds * (called & ~positive).mean()
        rows.append((threshold, float(model), float(positive.mean() - odds * (~positive).mean())))
    return rows
