"""Two-sample tests by permutation: whether films here and films there are drawn from the same.

Under the null hypothesis it makes no difference which films are called "here": every statistic is computed again for
random exchanges of that name, the same exchanges for all statistics. So the p-values are exact for any number of
films, any ties and any distribution, as long as the films are independent (one for each patient).

References:
    Lopez-Paz and Oquab 2017, Revisiting classifier two-sample tests, arXiv:1610.06545.
    Phipson and Smyth 2010, doi:10.2202/1544-6115.1585, for the p-value.
    Holm 1979, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6:65.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NUM_PERMUTATIONS = 999
"""The smallest p-value is 1 / 1000: below 0.01 after Holm's correction for 9 tests."""

PERMUTATIONS_OF_MORE = 1199
"""As many for up to 11 tests."""

_RIDGE = 1.0  # penalty per film, for standardised features scaled to a sum of variances of 1
_MOST_ENCODERS = 30  # a folder with more kinds of files has the rest counted together


@dataclass(frozen=True, slots=True)
class Tested:
    """The result of a test.

    Attributes:
        statistic: 0-1; for the classifier its AUROC.
        p_value: By permutation, not corrected.
    """

    statistic: float
    p_value: float


class TwoSamples:
    """Films here, and films there to compare them with.

    Args:
        num_there: Films there; in every pooled array they come first.
        num_here: Films here.
        permutations: How many.
    """

    def __init__(self, num_there: int, num_here: int, permutations: int = NUM_PERMUTATIONS) -> None:
        self._here = np.arange(num_there + num_here) >= num_there
        random = np.random.default_rng(0)
        names = np.tile(self._here.astype(np.int8)[:, None], (1, 1 + permutations))  # the first is the truth
        names[:, 1:] = random.permuted(names[:, 1:], axis=0)
        self._names = names
        self._per_film = 1 / num_here + 1 / num_there
        self._per_film_there = 1 / num_there

    def classifier(self, pooled: NDArray[np.floating]) -> Tested:
        """How well a ridge classifier tells films here from films there, each film scored by the others' fit.

        Leaving a film out is exact and costs no second fit: a residual is divided by 1 - leverage. The statistic of
        the test is the difference of the mean scores, which needs no ranks for each permutation.

        Args:
            pooled: Features, (N,K).
        """
        table = np.asarray(pooled, np.float64)
        centred = table - table.mean(axis=0)
        spread = centred.std(axis=0)
        x = centred / np.where(spread > 1e-9, spread, 1.0) / np.sqrt(table.shape[1])
        shrunk = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T)
        leverage = np.einsum("nk,kn->n", x, shrunk) + 1 / len(x)
        names = self._names.astype(np.float32)
        fitted = (x @ (shrunk @ names)).astype(np.float32) + names.mean(axis=0)
        own = leverage.astype(np.float32)[:, None]
        scores = (fitted - own * names) / (1 - own)
        gaps = np.einsum("np,np->p", scores, names) * self._per_film - scores.sum(axis=0) * self._per_film_there
        return Tested(_auroc(scores[:, 0], self._here), _p_value(gaps))

    def kolmogorov_smirnov(self, pooled: NDArray[np.floating]) -> Tested:
        """The largest distance between the two distribution functions of a number, (N,)."""
        order = np.argsort(pooled, kind="stable")
        values = np.asarray(pooled)[order]
        last_of_equals = np.append(values[1:] != values[:-1], True)
        number = np.flatnonzero(last_of_equals) + 1
        counts = np.cumsum(self._names[order], axis=0, dtype=np.int16)[number - 1]
        gaps = np.abs(counts * np.float32(self._per_film) - (number * self._per_film_there).astype(np.float32)[:, None])
        return _tested(gaps.max(axis=0))

    def total_variation(self, pooled: Sequence[str]) -> Tested:
        """Half the sum of the differences of the shares of each name: how many films would have to change theirs."""
        common = [name for name, _ in Counter(pooled).most_common(_MOST_ENCODERS)]
        place = {name: number for number, name in enumerate(common)}
        one_hot = np.zeros((len(pooled), len(common) + 1), np.float32)
        one_hot[np.arange(len(pooled)), [place.get(name, len(common)) for name in pooled]] = 1
        counts = one_hot.T @ self._names.astype(np.float32)
        expected = one_hot.sum(axis=0) * np.float32(self._per_film_there)
        gaps = np.abs(counts * np.float32(self._per_film) - expected[:, None])
        return _tested(gaps.sum(axis=0) / 2)


def _tested(distances: NDArray[np.floating]) -> Tested:
    return Tested(round(min(1.0, float(distances[0])), 5), _p_value(distances))


def _p_value(statistics: NDArray[np.floating]) -> float:
    """Share of the exchanges, the truth among them, that give at least what was found."""
    found, drawn = statistics[0], statistics[1:]
    tolerance = 1e-5 * max(1.0, abs(float(found)))  # equal but for the order of adding counts as equal
    return float((1 + (drawn >= found - tolerance).sum()) / (1 + len(drawn)))


def _auroc(scores: NDArray[np.floating], here: NDArray[np.bool_]) -> float:
    """Share of pairs in which the film here scores higher; a tie counts half."""
    there = np.sort(scores[~here])
    below = np.searchsorted(there, scores[here], "left") + np.searchsorted(there, scores[here], "right")
    return float(below.mean() / (2 * len(there)))
