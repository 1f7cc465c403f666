"""Labels that scores of films held out contradict: confident learning for two classes.

A film labelled one class is doubted where the other is the more probable one, and as probable at least as films with
that other label reach in the mean. The means take in that a network is surer of one class than of the other.

References:
    Northcutt, Jiang and Chuang 2021, Confident learning: estimating uncertainty in dataset labels,
    doi:10.1613/jair.1.12125.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def confident_thresholds(labels: ArrayLike, probabilities: ArrayLike) -> tuple[float, float]:
    """The mean probability of its own class that films of each label have; NaN for a label without films.

    Args:
        labels: 0 or 1, (N,).
        probabilities: Of class 1, by a model that was not trained on the film, 0-1, (N,).

    >>> confident_thresholds([0, 0, 1, 1], [0.1, 0.3, 0.6, 1.0])
    (0.8, 0.8)
    """
    given, ill = np.asarray(labels), np.asarray(probabilities, np.float64)
    own = [1 - ill[given == 0], ill[given == 1]]
    first, second = (float(part.mean()) if part.size else float("nan") for part in own)
    return first, second


def suspects(labels: ArrayLike, probabilities: ArrayLike) -> NDArray[np.int64]:
    """Positions of the films whose label is doubted, the most doubtful first.

    Args:
        labels: 0 or 1, (N,).
        probabilities: Of class 1, by a model that was not trained on the film, 0-1, (N,).

    Returns:
        By rising probability of the given label, ties in the order of the films; empty where a class has no films.

    >>> suspects([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.9, 0.05])
    array([5, 2])
    """
    given, ill = np.asarray(labels), np.asarray(probabilities, np.float64)
    probability = np.stack([1 - ill, ill])  # of each class, (2,N)
    least = np.array(confident_thresholds(given, ill))
    confident = probability >= least[:, None]  # False for a class without films
    places = np.arange(given.size)
    own, other = probability[given, places], probability[1 - given, places]
    # "More probable" also decides where a film reaches the thresholds of both classes.
    found: NDArray[np.int64] = np.flatnonzero(confident[1 - given, places] & (other > own))
    return found[np.argsort(own[found], kind="stable")]
