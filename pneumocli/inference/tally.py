"""Answers for films counted as they come, in constant memory: what the summary of a prediction shows."""

import heapq
import re
from collections import Counter

from pneumocli.core.records import CLASS_NAMES, REFER
from pneumocli.inference.records import Prediction, ReferringPrediction

MOST_ROWS = 5000
"""Films that the page of ``predict --report`` names; ``--csv`` has all."""

EXAMPLES = 24
"""Uncertain films, and films unlike the training films, that it shows."""

_UNCERTAIN_ODDS = 1.5  # times the odds of the threshold, or less: 40 to 60 % where it is 50 %
_MOST_REMARKS = 1000  # of different wordings: what comes after them is counted as one


def uncertain_range(threshold: float) -> tuple[float, float]:
    """The lowest and the highest probability of an uncertain film: one close to the threshold.

    Odds are compared, not points: of a threshold of 90 % nearly every film called PNEUMONIA is within ten points.

    >>> [[round(end, 3) for end in uncertain_range(threshold)] for threshold in (0.5, 0.9, 0)]
    [[0.4, 0.6], [0.857, 0.931], [0.0, 0.0]]
    """
    positive, negative, odds = threshold, 1 - threshold, _UNCERTAIN_ODDS
    return positive / (positive + odds * negative), odds * positive / (odds * positive + negative)


class AnswerTally:
    """Answers counted, some of them kept.

    Args:
        most: How many of the first answers to keep; ``None`` for all.
        examples: How many films to keep of those that have no answer, are uncertain, or are unlike the others.

    Attributes:
        num_films: Answers so far.
        num_errors: Films without an answer.
        num_warned: Films unlike the training films.
        num_uncertain: Films whose probability is close to the threshold.
        counts: Films by answer: by class, and by REFER where the model refers films to a person.
        remarks: Films by remark, without the numbers of single films.
        kept: The first answers.
        errors: The first films without an answer.
        warned: The first films unlike the training films.
    """

    def __init__(self, most: int | None, examples: int = 5) -> None:
        self._most, self._examples = most, examples
        self.num_films = self.num_errors = self.num_warned = self.num_uncertain = 0
        self.counts: dict[str, int] = dict.fromkeys(CLASS_NAMES, 0)
        self.remarks: Counter[str] = Counter()
        self.kept: list[Prediction] = []
        self.errors: list[Prediction] = []
        self.warned: list[Prediction] = []
        self._closest: list[tuple[float, int, Prediction]] = []

    @property
    def refers(self) -> bool:
        """Whether the model has a third answer."""
        return REFER in self.counts

    @property
    def uncertain(self) -> list[Prediction]:
        """The films whose probability is closest to the threshold, the closest first."""
        return [film for *_, film in sorted(self._closest, key=lambda item: (-item[0], -item[1]))]

    def add(self, prediction: Prediction) -> None:
        """Counts an answer."""
        self.num_films += 1
        if self._most is None or len(self.kept) < self._most:
            self.kept.append(prediction)
        if prediction.prediction is None or prediction.probability is None:
            self.num_errors += 1
            self._keep(self.errors, prediction)
            return
        answer: str | None = prediction.prediction
        if isinstance(prediction, ReferringPrediction):
            answer = prediction.answer
            self.counts.setdefault(REFER, 0)
        self.counts[str(answer)] += 1
        low, high = uncertain_range(prediction.threshold)
        if low <= prediction.probability <= high:
            self.num_uncertain += 1
            distance = abs(prediction.probability - prediction.threshold)
            heapq.heappush(self._closest, (-distance, -self.num_films, prediction))
            if len(self._closest) > self._examples:
                heapq.heappop(self._closest)
        if prediction.warnings:
            self.num_warned += 1
            self._keep(self.warned, prediction)
            for remark in set(map(grouped, prediction.warnings)):
                self.remarks[remark if remark in self.remarks or len(self.remarks) < _MOST_REMARKS else "other"] += 1

    def _keep(self, films: list[Prediction], prediction: Prediction) -> None:
        if len(films) < self._examples:
            films.append(prediction)


def grouped(warning: str) -> str:
    """A warning without the numbers of its film, so that films can be counted by it.

    >>> grouped("has an aspect of 1.48, far outside the training films' 1.00 to 1.00")
    "has an aspect far outside the training films' 1.00 to 1.00"
    >>> grouped("looks unlike the training films to the network (distance 31, limit 24)")
    'looks unlike the training films to the network'
    """
    return re.sub(r" \([^()]*\d[^()]*\)$", "", re.sub(r" of -?[\d.]+, far outside", " far outside", warning))
