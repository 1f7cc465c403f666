"""Planted label errors are found by scores of films held out; sound labels are left alone."""

import numpy as np
import pytest

from pneumocli.metrics.suspect_labels import suspects


def scores(*, num_flipped: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and the places of planted errors: 400 films, a model that is right 9 times of 10."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 400)
    probabilities = 1 / (1 + np.exp(-(random.normal(0, 2, 400) + np.where(truth == 1, 3, -3))))
    flipped = random.choice(400, num_flipped, replace=False)
    labels = truth.copy()
    labels[flipped] = 1 - labels[flipped]
    return labels, probabilities, flipped


def test_planted_errors_stand_first():
    labels, probabilities, flipped = scores(num_flipped=30)
    found = suspects(labels, probabilities)
    assert np.isin(found[:30], flipped).mean() > 0.75
    assert np.isin(flipped, found).mean() > 0.75


def test_the_order_is_by_doubt():
    labels, probabilities, _ = scores(num_flipped=30)
    found = suspects(labels, probabilities)
    own = np.where(labels == 1, probabilities, 1 - probabilities)[found]
    assert (np.diff(own) >= 0).all()
    assert (own < 0.5).all()


def test_a_class_without_a_doubtful_film():
    assert suspects([0, 0, 0, 1, 1], [0.1, 0.2, 0.97, 0.9, 0.95]).tolist() == [2]
    assert suspects([0, 0, 1, 1], [0.1, 0.2, 0.9, 0.95]).tolist() == []


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_one_class_alone_has_no_suspects(labels: list[int]):
    assert suspects(np.array(labels, int), np.full(len(labels), 0.6)).tolist() == []


def test_the_threshold_takes_in_that_a_model_is_unsure_of_a_class():
    """Films labelled 1 have a mean of 0.6: a film labelled 0 at 0.7 is doubted; were that mean 0.9 it would not be."""
    assert suspects([0, 0, 0, 1, 1], [0.1, 0.1, 0.7, 0.6, 0.6]).tolist() == [2]
    assert suspects([0, 0, 0, 1, 1], [0.1, 0.1, 0.7, 0.9, 0.9]).tolist() == []
