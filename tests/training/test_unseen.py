"""unseen.py: outputs for films that networks were trained on, moved to where those of other films lie."""

import numpy as np

from pneumocli.training.unseen import as_if_unseen


def test_the_mean_of_networks_comes_out_as_for_films_that_none_has_seen():
    rng = np.random.default_rng(0)
    folds, labels = rng.integers(1, 4, 600), rng.integers(0, 2, 600)
    truth = rng.normal(size=(600, 5)) + 3 * labels[:, None]
    seen = folds != np.arange(1, 4)[:, None]
    # Each network is surer of the films it was trained on: farther out, and closer together.
    values = truth + np.where(seen, 5.0 * (2 * labels - 1), 0)[..., None] - np.where(seen[..., None], truth / 2, 0)
    values += rng.normal(scale=0.1, size=values.shape)
    found, wanted = as_if_unseen(values, folds, labels).mean(axis=0), truth
    for label in (0, 1):
        part = labels == label
        assert abs(values.mean(axis=0)[part].mean() - wanted[part].mean()) > 0.5
        np.testing.assert_allclose(found[part].mean(axis=0), wanted[part].mean(axis=0), atol=0.15)
        np.testing.assert_allclose(found[part].std(axis=0), wanted[part].std(axis=0), rtol=0.15)


def test_what_cannot_be_known_stays_as_it_is():
    values = np.random.default_rng(1).normal(size=(2, 30, 3))
    folds, labels = np.repeat([1, 2], [9, 21]), np.zeros(30, int)
    found = as_if_unseen(values, folds, labels)
    np.testing.assert_array_equal(found[0], values[0])  # 9 held out: too few
    assert not np.array_equal(found[1], values[1])
    constant = as_if_unseen(np.ones((2, 30, 3)), np.repeat([1, 2], 15), labels)
    np.testing.assert_array_equal(constant, 1)
