"""Two-sample tests by permutation: against scipy, at their error rate, and on samples that differ."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from pneumocli.shift.two_sample import NUM_PERMUTATIONS, TwoSamples


@pytest.mark.parametrize("ties", [False, True])
def test_the_distance_is_scipys_and_the_p_value_close_to_its_exact_one(ties: bool):
    random = np.random.default_rng(3)
    there, here = random.normal(size=60), random.normal(0.5, size=30)
    if ties:
        there, here = np.round(there), np.round(here)
    found = TwoSamples(60, 30).kolmogorov_smirnov(np.concatenate([there, here]))
    expected = ks_2samp(there, here, method="exact")
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-5)
    if ties:  # scipy's p-value ignores ties and is too large then
        assert found.p_value < expected.pvalue
    else:
        assert found.p_value == pytest.approx(expected.pvalue, abs=0.03)


def test_equal_numbers_show_nothing():
    assert TwoSamples(30, 20).kolmogorov_smirnov(np.ones(50)).p_value == 1


def test_the_share_of_names_that_differ():
    names = ["a"] * 30 + ["b"] * 10 + ["a"] * 5 + ["c"] * 15
    found = TwoSamples(40, 20).total_variation(names)
    assert found.statistic == pytest.approx(0.75)  # a: .75 against .25, c: 0 against .75
    assert found.p_value == 1 / (1 + NUM_PERMUTATIONS)


def test_many_names_are_counted_together():
    names = [f"machine {number % 50}" for number in range(200)]
    assert TwoSamples(100, 100).total_variation(names).p_value == 1


def test_a_classifier_sees_what_differs_in_no_single_number():
    """Two numbers that agree there and contradict each other here, among twenty others."""
    random = np.random.default_rng(0)
    table = random.normal(size=(300, 22))
    table[:, 1] = table[:, 0] + 0.2 * table[:, 1]
    table[200:, 1] += 0.6
    found = TwoSamples(200, 100).classifier(table)
    assert found.statistic > 0.85
    assert found.p_value == 1 / (1 + NUM_PERMUTATIONS)


def test_each_film_is_scored_by_a_fit_of_the_others():
    """A fit of all films, with more numbers than films, would tell noise from noise."""
    table = np.random.default_rng(1).normal(size=(60, 100))
    found = TwoSamples(30, 30).classifier(table)
    assert found.statistic < 0.7
    assert found.p_value > 0.05


def test_the_same_films_twice_do_not_differ():
    table = np.random.default_rng(1).normal(size=(60, 10))
    assert TwoSamples(60, 60).classifier(np.vstack([table, table])).p_value > 0.9


def test_one_of_twenty_equal_samples_has_a_p_value_below_a_twentieth():
    random = np.random.default_rng(5)
    low = [TwoSamples(40, 20, seed).classifier(random.exponential(size=(60, 8))).p_value < 0.05 for seed in range(200)]
    assert sum(low) <= 19  # 10 expected; more than 19 once in 400 such tests
