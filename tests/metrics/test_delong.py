"""Intervals and tests of AUROCs: DeLong's and Obuchowski's variance against their definitions, and coverage."""

import numpy as np
import pytest
from scipy.stats import norm, t

from pneumocli.metrics.classification import auroc
from pneumocli.metrics.delong import _patient_sums, auroc_difference, auroc_metric, auroc_of_films
from tests.helpers.coverage import SETTINGS, auroc_coverage


def kernels(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of all pairs, O(mn): each positive's share of negatives below it, and the reverse; (C,m) and (C,n)."""
    positive, negative = scores[:, labels == 1], scores[:, labels == 0]
    kernel = (positive[:, :, None] > negative[:, None, :]) + 0.5 * (positive[:, :, None] == negative[:, None, :])
    return kernel.mean(axis=2), kernel.mean(axis=1)


def delong_covariance(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """DeLong's definition."""
    by_positive, by_negative = kernels(labels, scores)
    return np.cov(by_positive) / by_positive.shape[1] + np.cov(by_negative) / by_negative.shape[1]


def obuchowski_variance(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> float:
    """The definition in Obuchowski 1997, patient by patient."""
    (by_positive,), (by_negative,) = kernels(labels, scores[None])
    area, m, n = by_positive.mean(), by_positive.size, by_negative.size
    clusters = np.unique(patients)
    ours = [by_positive[patients[labels == 1] == one] for one in clusters]
    theirs = [by_negative[patients[labels == 0] == one] for one in clusters]
    i, i10, i01 = len(clusters), sum(x.size > 0 for x in ours), sum(y.size > 0 for y in theirs)
    x = np.array([one.sum() - one.size * area for one in ours])
    y = np.array([one.sum() - one.size * area for one in theirs])
    s10 = i10 / ((i10 - 1) * m) * (x**2).sum()
    s01 = i01 / ((i01 - 1) * n) * (y**2).sum()
    s11 = i / (i - 1) * (x * y).sum()
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definitions(seed: int, decimals: int):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 0, 1, 1, rng.integers(0, 2, 60)]
    scores = np.round(labels + rng.normal(size=(2, labels.size)), decimals)
    alone = _patient_sums(labels, scores, np.arange(labels.size))
    assert alone.areas.tolist() == pytest.approx([auroc(labels, row) for row in scores])
    covariance = delong_covariance(labels, scores)
    for weights in ([1.0, 0.0], [-1.0, 1.0]):
        assert alone.variance(weights)[0] == pytest.approx(np.array(weights) @ covariance @ weights)
    patients = rng.integers(0, 25, labels.size)  # many with films of both classes
    clustered = _patient_sums(labels, scores[0], patients).variance([1.0])[0]
    assert clustered == pytest.approx(obuchowski_variance(labels, scores[0], patients))


def test_worked_by_hand():
    # Two healthy at 1 and 3, two pneumonias at 2 and 4: pairs won 1, 0, 1, 1, so the area is 3/4.
    # By pneumonia 1/2 and 1, by healthy 1 and 1/2: each variance 1/8, over two films, together 1/8.
    found = auroc_of_films([0, 0, 1, 1], [1, 3, 2, 4])
    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - norm.ppf(0.975) * 8**-0.5)
    assert found.high == 1.0
    assert found.method == "DeLong, assumes independent films"
    # Two patients a class: one degree of freedom each, two together. Logit of 3/4: log 3, its error: 8^-.5 / (3/16).
    clustered = auroc_metric([0, 0, 1, 1], [1, 3, 2, 4], list("abcd"))
    half = t.ppf(0.975, 2) * 8**-0.5 / (3 / 16)
    low, high = (1 / (1 + np.exp(-(np.log(3) + sign * half))) for sign in (-1, 1))
    assert (clustered.low, clustered.high) == pytest.approx((low, high))
    assert clustered.method.endswith("logit scale, t quantile with 2.0 degrees of freedom")


def test_perfect_separation_is_no_point():
    labels = np.r_[np.ones(60, int), np.zeros(40, int)]
    found = auroc_metric(labels, labels * 2.0, np.arange(100))
    # Wilson's bound of 40 of 40: 40 / (40 + 1.96^2).
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(40 / (40 + norm.ppf(0.975) ** 2))
    assert found.method == "perfect separation: Wilson on the 40 patients of the smaller class"
    reverse = auroc_metric(labels, -labels, np.arange(100))
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx((0.0, 0.0, 1 - found.low))
    pairs = auroc_metric(labels, labels, np.arange(100) // 2)
    assert pairs.low == pytest.approx(20 / (20 + norm.ppf(0.975) ** 2)), "two films of a patient are no two proofs"
    assert auroc_of_films(labels, labels).low is None


def test_what_has_no_interval_gives_the_reason():
    assert auroc_metric([1, 1, 1], [1, 2, 3], [1, 2, 3]).method == "undefined: the films are of one class"
    same = auroc_metric([0, 0, 1, 1], [5, 5, 5, 5], [1, 2, 3, 4])
    assert (same.value, same.low, same.high) == (0.5, None, None)
    assert same.method == "no interval: the estimated variance is 0"
    alone = auroc_metric([0, 0, 1, 1], [1, 2, 3, 4], [1, 1, 2, 3])
    assert (alone.value, alone.low) == (1.0, None)
    assert alone.method == "no interval: fewer than two patients of a class"
    assert auroc_of_films([0, 1, 1], [1, 2, 3]).method == "undefined: fewer than two films of a class"


def test_few_patients_with_all_the_variance_widen_the_interval():
    # One healthy film above one pneumonia, 59 others in order: the same variance from one patient a class.
    labels = np.r_[np.ones(60, int), np.zeros(40, int)]
    scores = labels * 10.0 + np.linspace(0, 1, 100)
    scores[59], scores[60] = 5.0, 6.0
    spread = auroc_metric(labels, scores, np.arange(100))
    freedom = float(spread.method.split()[-4])
    assert 10 < freedom < 30, "the patients alone would give 98"
    assert spread.low < 0.995 < spread.value < spread.high < 1


def test_dependent_films_widen_the_interval():
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 60), 2)
    scores = labels + np.repeat(rng.normal(size=60), 2)  # both films of a patient score alike
    alone, paired = (auroc_metric(labels, scores, patients) for patients in (np.arange(120), np.arange(120) // 2))
    assert paired.high - paired.low > 1.3 * (alone.high - alone.low)


def test_the_difference_of_two():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    a, b = labels + rng.normal(size=200) * 2, labels + rng.normal(size=200)
    found, back = auroc_difference(labels, a, b, np.arange(200)), auroc_difference(labels, b, a, np.arange(200))
    covariance = delong_covariance(labels, np.stack([a, b]))
    spread = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    freedom = float(found.method.split()[-4])
    assert 50 < freedom < 200
    difference = found.areas[1] - found.areas[0]
    assert (found.low + found.high) / 2 == pytest.approx(difference)
    assert found.high - found.low == pytest.approx(2 * t.ppf(0.975, freedom) * spread, rel=1e-3)
    assert found.p_value == pytest.approx(2 * t.sf(difference / spread, freedom), rel=1e-2)
    assert (back.low, back.high, back.p_value) == pytest.approx((-found.high, -found.low, found.p_value))


def test_rankings_without_variance_have_no_interval():
    same = auroc_difference([0, 1, 0, 1, 1], [1, 2, 3, 4, 5], [10, 20, 30, 40, 50], range(5))
    assert (same.low, same.high, same.p_value) == (None, None, 1.0)
    # Both variances are 0; the areas are 1 and 0, and four films prove nothing of it.
    opposite = auroc_difference([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1], range(4))
    assert (opposite.areas, opposite.low, opposite.p_value) == ((1.0, 0.0), None, None)
    assert auroc_difference([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 2, 3]) is None
    assert auroc_difference([1, 1], [1, 2], [2, 1], [1, 2]) is None


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_intervals_cover_the_truth(setting: tuple[float, int, int, int]):
    assert 0.93 <= auroc_coverage(*setting, studies=4000)["cluster"] <= 0.97
