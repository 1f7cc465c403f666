"""Thresholds, chosen on validation films."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumocli.metrics.classification import sensitivity, sigmoid, specificity
from pneumocli.metrics.thresholds import choose_operating_point, doubts

LABELS = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
LOGITS = np.array([-4.0, -3, -2, -1, -0.5, 0.5, 1, 2, 3, 4])


def test_fixed_beforehand():
    point = choose_operating_point(LOGITS, LABELS, "0.5", 1.0)
    assert (point.threshold, point.rule, point.chosen_on) == (0.5, "0.5", "fixed")
    assert (point.sensitivity, point.specificity) == (0.8, 0.8)


@pytest.mark.parametrize(
    ("rule", "between", "sens", "spec"),
    [
        ("youden", (-1.0, -0.5), 1.0, 0.8),
        ("sensitivity=0.95", (-1.0, -0.5), 1.0, 0.8),
        ("sensitivity=0.8", (0.5, 1.0), 0.8, 1.0),
        ("specificity=0.95", (0.5, 1.0), 0.8, 1.0),
        ("specificity=0.6", (-1.0, -0.5), 1.0, 0.8),
        ("cost=10", (-1.0, -0.5), 1.0, 0.8),
        ("cost=0.1", (0.5, 1.0), 0.8, 1.0),
    ],
)
def test_rules_by_hand(rule: str, between: tuple[float, float], sens: float, spec: float):
    labels = LABELS
    if rule == "youden":  # 1.0 + 0.8 and 0.8 + 1.0 tie; without the fifth film's tie the lower one wins
        labels = np.append(LABELS, 1)
        logits = np.append(LOGITS, -0.6)
        between = (-1.0, -0.6)
    else:
        logits = LOGITS
    point = choose_operating_point(logits, labels, rule, 1.0)
    low, high = sigmoid(np.array(between))
    assert point.threshold == pytest.approx((low + high) / 2)
    assert (point.sensitivity, point.specificity) == (sens, spec)
    assert (point.rule, point.chosen_on) == (rule, "val")


def test_ties_go_to_the_threshold_nearest_to_half():
    # Both thresholds between the neighbours around 0.5 have youden 0.8.
    point = choose_operating_point(LOGITS, LABELS, "youden", 1.0)
    candidates = [(sigmoid([-1.0])[0] + sigmoid([-0.5])[0]) / 2, (sigmoid([0.5])[0] + sigmoid([1.0])[0]) / 2]
    assert point.threshold == pytest.approx(min(candidates, key=lambda value: abs(value - 0.5)))


def test_the_temperature_moves_the_threshold_and_not_the_films():
    one, other = (choose_operating_point(LOGITS, LABELS, "sensitivity=0.95", t) for t in (1.0, 2.5))
    assert one.threshold != other.threshold
    assert (one.sensitivity, one.specificity) == (other.sensitivity, other.specificity)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], []])
def test_one_class_falls_back_and_says_so(labels: list[int]):
    point = choose_operating_point(np.arange(len(labels)), np.array(labels), "youden", 1.0)
    assert point.threshold == 0.5
    assert point.rule == "0.5 (youden needs both classes)"
    assert point.chosen_on == "fixed"


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-9, 9)), min_size=2, max_size=30),
    st.sampled_from(["youden", "sensitivity=0.9", "specificity=0.9", "cost=3"]),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_the_point_is_what_it_says(items: list[tuple[int, int]], rule: str, temperature: float):
    labels, logits = (np.array(column) for column in zip(*items, strict=True))
    point = choose_operating_point(logits, labels, rule, temperature)
    predicted = sigmoid(logits / temperature) >= point.threshold
    assert point.sensitivity == sensitivity(labels, predicted)
    assert point.specificity == specificity(labels, predicted)
    if 0 < labels.sum() < labels.size:
        if rule.startswith("sensitivity"):
            assert point.sensitivity >= 0.9
        if rule.startswith("specificity"):
            best = max(specificity(labels, logits >= cut) for cut in (*logits, logits.max() + 1))
            assert point.specificity >= 0.9 or best < 0.9
        if rule == "youden":
            assert point.sensitivity + point.specificity >= 1


def test_youden_is_the_best_there_is_and_cost_moves_it():
    rng = np.random.default_rng(0)
    labels = (rng.random(1000) < 0.6).astype(int)
    logits = np.round(rng.normal(2.0 * labels - 1, 1.5), 1)
    best = choose_operating_point(logits, labels, "youden", 1.0)
    others = [sensitivity(labels, logits >= t) + specificity(labels, logits >= t) for t in np.unique(logits)]
    assert best.sensitivity + best.specificity == pytest.approx(max(others))
    assert choose_operating_point(logits, labels, "cost=100", 1.0).threshold < best.threshold


def test_doubts():
    assert doubts(500, 20, 0.9, "0.5") is None
    assert "20 films of one class" in doubts(500, 20, 0.9, "youden")
    assert "may not carry over" in doubts(500, 200, 0.999, "youden")
    assert "nearly all separated" in doubts(500, 200, 0.999, "youden")
    assert doubts(500, 200, 0.98, "youden") is None
    assert doubts(500, 200, None, "youden") is None


class TestHardBalanced:
    """Equal sensitivity and specificity on the hard films; the easy ones have no part in it."""

    labels = np.array([0] * 5 + [1] * 5 + [0] * 20 + [1] * 20)
    logits = np.r_[[-1.0, 0, 1, 2, 3], [0.5, 1.5, 2.5, 3.5, 4.5], np.full(20, -9.0), np.full(20, 9.0)]
    hard = np.arange(50) < 10

    def test_by_hand(self):
        point = choose_operating_point(self.logits, self.labels, "hard-balanced", 1.0, hard=self.hard)
        called = self.logits >= np.log(point.threshold / (1 - point.threshold))
        assert (called[:5].sum(), called[5:10].sum()) == (2, 3)  # 1 - 2 / 5 = 3 / 5
        assert (point.rule, point.chosen_on) == ("hard-balanced", "val")
        assert (point.sensitivity, point.specificity) == (pytest.approx(23 / 25), pytest.approx(23 / 25))
        folds = choose_operating_point(
            self.logits, self.labels, "hard-balanced", 1.0, hard=self.hard, chosen_on="out-of-fold"
        )
        assert folds == point.model_copy(update={"chosen_on": "out-of-fold"})

    @pytest.mark.parametrize("hard", [None, np.arange(50) < 9])
    def test_too_few_hard_films_fall_back_and_the_rule_gives_the_reason(self, hard: np.ndarray | None):
        point = choose_operating_point(self.logits, self.labels, "hard-balanced", 1.0, hard=hard)
        assert (point.threshold, point.chosen_on) == (0.5, "fixed")
        assert point.rule == "0.5 (hard-balanced needs 5 hard films of each class)"
