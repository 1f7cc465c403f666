"""Intervals of what follows from sensitivity and specificity."""

import math

import pytest

from pneumocli.metrics.bootstrap import rate, undefined, wilson
from pneumocli.metrics.records import Confusion, Metric
from pneumocli.metrics.square_and_add import METHOD, METRICS, implied_metrics
from tests.helpers.coverage import RATES, rate_coverage


def exact(value: float, low: float, high: float) -> Metric:
    return Metric(value=value, low=low, high=high, method="given")


def test_balanced_accuracy_by_hand():
    table = Confusion(tp=9, fn=1, tn=8, fp=2)
    found = implied_metrics(table, exact(0.9, 0.8, 0.95), exact(0.8, 0.5, 0.9))["balanced_accuracy"]
    assert found.value == pytest.approx(0.85)
    assert found.low == pytest.approx(0.85 - math.hypot(0.05, 0.15))
    assert found.high == pytest.approx(0.85 + math.hypot(0.025, 0.05))
    assert found.method == METHOD


@pytest.mark.parametrize(("positives", "negatives"), [(4, 2), (1, 19), (60, 40)])
def test_no_error_is_no_point(positives: int, negatives: int):
    """Six of six right: 100 % to 100 % would be a claim of certainty."""
    sens, spec = (rate([1] * number, range(number)) for number in (positives, negatives))
    found = implied_metrics(Confusion(tp=positives, fp=0, fn=0, tn=negatives), sens, spec)
    assert set(found) == set(METRICS)
    for name in ("balanced_accuracy", "f1", "macro_f1", "mcc", "youden_j"):
        assert (found[name].value, found[name].high) == (1.0, 1.0)
        assert found[name].low < 0.97
    assert found["lr_negative"].low == found["lr_negative"].value == 0.0
    assert found["lr_negative"].high == pytest.approx(1 - wilson(positives, positives)[0])
    assert found["f1"].low <= 2 * sens.low / (sens.low + 1), "F1 at the bound of sensitivity alone"


def test_every_error_is_no_point():
    sens, spec = (rate([0] * number, range(number)) for number in (4, 2))
    found = implied_metrics(Confusion(tp=0, fp=2, fn=4, tn=0), sens, spec)
    for name, lowest in (("balanced_accuracy", 0.0), ("f1", 0.0), ("mcc", -1.0), ("youden_j", -1.0)):
        assert found[name].value == found[name].low == lowest
        assert found[name].high > lowest + 0.05
    assert "lr_negative" not in found, "its denominator is 0"


def test_without_a_class_nothing_follows():
    table = Confusion(tp=9, fn=1, tn=0, fp=0)
    assert implied_metrics(table, exact(0.9, 0.8, 0.95), undefined("no films")) == {}


@pytest.mark.slow
@pytest.mark.parametrize("setting", RATES, ids=str)
def test_they_cover_more_often_than_the_bootstrap(setting: tuple[int, int, float, float]):
    found = rate_coverage(*setting, studies=500)
    for name in ("balanced_accuracy", "f1", "mcc"):
        assert 0.90 <= found[name] <= 0.985, name
        assert found[name] > found[f"{name} bootstrap"] - 0.03, name
