"""What a group of folds gives for films that no network has seen, from films that all but one were trained on.

Films of the group itself cannot be scored so: each was seen by all networks but one, and a network's outputs for films
that it was trained on lie elsewhere than for others. How far is known, because each network also has films that it
held out.
"""

import numpy as np
from numpy.typing import NDArray

_LEAST_FILMS = 10  # held out, of a class: fewer give no spread to go by


def as_if_unseen(
    values: NDArray[np.floating], folds: NDArray[np.integer], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Moves each network's values of the films that it was trained on to where those of films that it held out lie.

    Mean and standard deviation of each column become those of the held-out films, class by class.

    Args:
        values: Of each network for each film, (K,N,D).
        folds: The network that held each film out, from 1, (N,).
        labels: 0 or 1, (N,).

    Returns:
        The values, (K,N,D); those of a network with fewer than 10 held-out films of a class as they were for it.

    >>> values = np.concatenate([np.tile([0.0, 2.0], 10), np.tile([10.0, 30.0], 10)])[None, :, None]
    >>> folds, labels = np.repeat([1, 2], 20), np.zeros(40, int)
    >>> as_if_unseen(values, folds, labels)[0, [0, 1, 20, 21], 0]
    array([0., 2., 0., 2.])
    """
    moved = np.array(values, np.float64)
    for number, own in enumerate(moved, start=1):
        for label in (0, 1):
            of_class, held_out = labels == label, folds == number
            held, seen = own[of_class & held_out], own[of_class & ~held_out]
            if len(held) < _LEAST_FILMS or not len(seen):
                continue
            spread = np.where(seen.std(axis=0) > 0, held.std(axis=0) / np.maximum(seen.std(axis=0), 1e-12), 1.0)
            own[of_class & ~held_out] = held.mean(axis=0) + (seen - seen.mean(axis=0)) * spread
    return moved
