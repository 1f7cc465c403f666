"""DeLong's variance against its definition over all pairs."""

import numpy as np
import pytest
from scipy.stats import norm

from pneumocli.metrics.classification import auroc
from pneumocli.metrics.delong import auroc_covariance, auroc_difference, auroc_interval


def over_all_pairs(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definition: kernels of all pairs, O(mn)."""
    positive, negative = scores[:, labels == 1], scores[:, labels == 0]
    kernel = (positive[:, :, None] > negative[:, None, :]) + 0.5 * (positive[:, :, None] == negative[:, None, :])
    areas, m, n = kernel.mean(axis=(1, 2)), positive.shape[1], negative.shape[1]
    by_positive, by_negative = kernel.mean(axis=2) - areas[:, None], kernel.mean(axis=1) - areas[:, None]
    covariance = by_positive @ by_positive.T / (m - 1) / m + by_negative @ by_negative.T / (n - 1) / n
    return areas, covariance


@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(seed: int, decimals: int):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 0, 1, 1, rng.integers(0, 2, 60)]
    scores = np.round(labels + rng.normal(size=(3, labels.size)), decimals)
    areas, covariance = auroc_covariance(labels, scores)
    expected_areas, expected = over_all_pairs(labels, scores)
    np.testing.assert_allclose(areas, expected_areas)
    np.testing.assert_allclose(covariance, expected, atol=1e-14)
    assert areas[0] == pytest.approx(auroc(labels, scores[0]))


def test_worked_by_hand():
    # Two healthy at 1 and 3, two pneumonias at 2 and 4: pairs won 1, 0, 1, 1, so the area is 3/4.
    # By pneumonia 1/2 and 1, by healthy 1 and 1/2: each variance 1/8, over two films, together 1/8.
    areas, covariance = auroc_covariance([0, 0, 1, 1], [1, 3, 2, 4])
    assert areas[0] == 0.75
    assert covariance[0, 0] == pytest.approx(1 / 8)
    low, high = auroc_interval([0, 0, 1, 1], [1, 3, 2, 4])
    assert low == pytest.approx(0.75 - norm.ppf(0.975) * 8**-0.5)
    assert high == 1.0


def test_the_difference_of_two():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    a, b = labels + rng.normal(size=200) * 2, labels + rng.normal(size=200)
    low, high, p_value = auroc_difference(labels, a, b)
    areas, covariance = over_all_pairs(labels, np.stack([a, b]))
    spread = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert (low + high) / 2 == pytest.approx(areas[1] - areas[0])
    assert high - low == pytest.approx(2 * norm.ppf(0.975) * spread)
    assert p_value == pytest.approx(2 * norm.sf((areas[1] - areas[0]) / spread))
    back = auroc_difference(labels, b, a)
    assert back == pytest.approx((-high, -low, p_value))


def test_the_same_ranking_is_no_difference():
    assert auroc_difference([0, 1, 0, 1, 1], [1, 2, 3, 4, 5], [10, 20, 30, 40, 50]) == (0.0, 0.0, 1.0)


def test_the_opposite_ranking_without_a_mistake_is_no_chance():
    # Both variances are 0; the areas are 1 and 0.
    assert auroc_difference([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1]) == (-1.0, -1.0, 0.0)


def test_two_films_of_each_class_are_needed():
    with pytest.raises(ValueError, match="two films of each class"):
        auroc_covariance([0, 1, 1], [1, 2, 3])
