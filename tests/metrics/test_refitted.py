"""The threshold that the stored sensitivity would need, against a table worked by hand."""

import numpy as np
import pytest

from pneumocli.metrics.classification import sigmoid
from pneumocli.metrics.refitted import refitted_threshold
from pneumocli.metrics.scores import ScoreArrays
from tests.conftest import scored_film


def arrays(ill: list[float], healthy: list[float], films_each: int = 1) -> ScoreArrays:
    films = [scored_film(f"i{n}.png", "PNEUMONIA", x, f"i{n // films_each}") for n, x in enumerate(ill)]
    films += [scored_film(f"h{n}.png", "NORMAL", x, f"h{n // films_each}") for n, x in enumerate(healthy)]
    return ScoreArrays.of(films, 1.0)


ILL, HEALTHY = [4.0, 3.0, 2.0, 1.0, -1.0], [2.5, 1.0, 0.0, -1.0, -2.0]


@pytest.mark.parametrize(
    ("wanted", "logit", "sensitivity", "specificity"),
    [
        (0.6, 2.0, 0.6, 0.8),  # 3 of 5; only 2.5 is at or above 2
        (0.61, 1.0, 0.8, 0.6),  # needs the fourth, and takes the healthy film at the same score with it
        (1.0, -1.0, 1.0, 0.2),
        (0.0, 4.0, 0.2, 1.0),  # no sensitivity at all: the highest threshold there is
    ],
)
def test_a_table_worked_by_hand(wanted: float, logit: float, sensitivity: float, specificity: float):
    found = refitted_threshold(arrays(ILL, HEALTHY), wanted, 0)
    assert found.wanted_sensitivity == wanted
    assert found.threshold.value == pytest.approx(float(sigmoid(logit)))
    assert found.sensitivity.value == pytest.approx(sensitivity)
    assert found.specificity.value == pytest.approx(specificity)


def test_intervals_count_the_fit_and_the_patients():
    rng = np.random.default_rng(0)
    ill, healthy = rng.normal(1, 1, 100).tolist(), rng.normal(-1, 1, 100).tolist()
    alone = refitted_threshold(arrays(ill, healthy), 0.9, 0)
    assert alone.specificity.low < alone.specificity.value < alone.specificity.high
    assert alone.threshold.low < alone.threshold.value < alone.threshold.high
    copies = refitted_threshold(arrays([x for x in ill for _ in "ab"], [x for x in healthy for _ in "ab"], 2), 0.9, 0)
    assert copies.specificity == alone.specificity, "a film given twice by its patient is no second film"


def test_undefined_without_a_sensitivity_or_a_class():
    assert refitted_threshold(arrays(ILL, HEALTHY), None, 0) is None
    assert refitted_threshold(arrays(ILL, []), 0.9, 0) is None
