"""Temperature, and what calibration is left after it."""

import numpy as np
import pytest
from scipy.optimize import minimize

from pneumocli.metrics.calibration import fit_temperature, slope_and_intercept
from pneumocli.metrics.classification import log_loss, sigmoid


def drawn(temperature: float, shift: float = 0.0, films: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too large by a temperature, and labels of the true probabilities."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=films) * 2
    labels = (rng.random(films) < sigmoid(true + shift)).astype(np.int64)
    return true * temperature, labels


@pytest.mark.parametrize("temperature", [0.3, 2.0, 8.0])
def test_the_temperature_is_found(temperature: float):
    logits, labels = drawn(temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.08)
    assert log_loss(labels, logits / found) <= log_loss(labels, logits)


@pytest.mark.parametrize("scale", [0.01, 30.0, 1e4])
def test_the_temperature_is_found_however_large_the_logits_are(scale: float):
    logits, labels = drawn(1.0, films=400)
    assert fit_temperature(logits * scale, labels) == pytest.approx(scale * fit_temperature(logits, labels), rel=1e-3)


def test_the_temperature_is_one_where_none_can_be_had():
    rng = np.random.default_rng(0)
    labels = np.r_[np.zeros(50, int), np.ones(4, int)]
    assert fit_temperature(rng.normal(size=54), labels) == 1.0  # four films of a class
    apart = np.r_[np.full(20, -3.0), np.full(20, 3.0)]
    assert fit_temperature(apart, np.repeat([0, 1], 20)) == 1.0  # the loss would fall for ever
    assert fit_temperature(-apart, np.repeat([0, 1], 20)) == 1.0  # and here rise
    assert fit_temperature([], []) == 1.0
    assert fit_temperature(np.ones(40), np.repeat([0, 1], 20)) == 1.0  # all films have one score


def test_perfect_calibration_has_slope_one_and_intercept_zero():
    logits, labels = drawn(1.0)
    slope, intercept = slope_and_intercept(logits, labels, np.arange(labels.size))
    assert slope.low < 1 < slope.high
    assert intercept.low < 0 < intercept.high
    assert slope.high - slope.low < 0.25


def test_equal_to_maximum_likelihood():
    logits, labels = drawn(3.0, shift=0.7, films=500)
    slope, intercept = slope_and_intercept(logits, labels, np.arange(labels.size))
    both = minimize(lambda c: log_loss(labels, c[0] + c[1] * logits), [0.0, 0.3], tol=1e-12)
    large = minimize(lambda c: log_loss(labels, c[0] + logits), [0.0], tol=1e-12)
    assert slope.value == pytest.approx(both.x[1], rel=1e-4)
    assert intercept.value == pytest.approx(large.x[0], rel=1e-4)


def test_logits_of_several_hundred():
    """An undertrained network's logits are huge; every probability is 0 or 1, and yet the fit exists."""
    logits, labels = drawn(1.0, films=400)
    small, _ = slope_and_intercept(logits, labels, np.arange(400))
    slope, intercept = slope_and_intercept(logits * 1000, labels, np.arange(400))
    assert slope.value == pytest.approx(small.value / 1000)
    assert slope.high == pytest.approx(small.high / 1000)
    assert intercept.value is not None
    assert sigmoid(logits * 1000 + intercept.value).mean() == pytest.approx(labels.mean(), abs=0.01)


def test_films_of_one_patient_widen_the_interval():
    logits, labels = drawn(1.0, films=300)
    alone = slope_and_intercept(logits, labels, np.arange(300))
    tripled = slope_and_intercept(np.tile(logits, 3), np.tile(labels, 3), np.tile(np.arange(300), 3))
    for one, three in zip(alone, tripled, strict=True):
        assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high), rel=1e-6, abs=1e-6)


def test_undefined_where_nothing_is_confused():
    labels = np.repeat([0, 1], 20)
    slope, _ = slope_and_intercept(labels * 6.0 - 3 + np.linspace(-1, 1, 40), labels, np.arange(40))
    assert slope.value is None
    assert "without a mistake" in slope.method
    for metric in slope_and_intercept(np.linspace(-1, 1, 9), np.ones(9, int), np.arange(9)):
        assert metric.value is None
        assert "one class" in metric.method
    slope, _ = slope_and_intercept(np.zeros(10), np.repeat([0, 1], 5), np.arange(10))
    assert slope.value is None


@pytest.mark.parametrize("shift", [0.0, 50.0, 3000.0])
def test_the_slope_does_not_depend_on_where_the_logits_lie(shift: float):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 0.01, 200)
    labels = (logits + rng.normal(0, 0.02, 200) > 0).astype(int)
    expected, _ = slope_and_intercept(logits, labels, np.arange(200))
    slope, _ = slope_and_intercept(logits + shift, labels, np.arange(200))
    assert expected.value is not None
    assert slope.value == pytest.approx(expected.value, rel=1e-6)


def test_no_interval_where_nothing_is_known_of_the_spread():
    logits, labels = np.array([-1.0, 1.0, -0.5, 2.0, 0.3, -0.2]), [0, 1, 1, 0, 1, 0]
    for found in slope_and_intercept(logits, labels, np.zeros(6)):
        assert found.value is not None
        assert (found.low, found.high, found.method) == (None, None, "no interval: the films are of one patient")
