"""The prevalence that probabilities suggest, against counts worked by hand and against EM itself."""

import numpy as np
import pytest

from pneumocli.metrics.bootstrap import PatientBootstrap
from pneumocli.metrics.classification import sigmoid
from pneumocli.metrics.label_shift import at_prevalence, drawn_prevalences, estimated_prevalence, label_shift
from pneumocli.metrics.scores import ScoreArrays
from tests.conftest import scored_film

# Sensitivity 27/35, false alarms 3/35: at prevalence 0.5 a positive answer means 0.9, a negative one 0.2.
POSITIVE, NEGATIVE = 0.9, 0.2


def test_counts_worked_by_hand():
    """A share of 27/35 x + 3/35 (1 - x) is positive: 0.6 gives 3/4, 15/35 gives 1/2, less than 3/35 gives 0."""
    assert estimated_prevalence([POSITIVE] * 6 + [NEGATIVE] * 4, 0.5) == pytest.approx(0.75)
    assert estimated_prevalence([POSITIVE] * 15 + [NEGATIVE] * 20, 0.5) == pytest.approx(0.5)
    assert estimated_prevalence([POSITIVE] * 1 + [NEGATIVE] * 34, 0.5) == 0.0
    assert estimated_prevalence([POSITIVE] * 34 + [NEGATIVE] * 1, 0.5) == 1.0


def test_the_assumed_prevalence_counts():
    """The same test at prevalence 0.75: odds are three times as high, 27 : 1 and 3 : 4; the estimate is the same."""
    assert estimated_prevalence([27 / 28] * 6 + [3 / 7] * 4, 0.75) == pytest.approx(0.75)
    assert at_prevalence([27 / 28, 3 / 7], 0.75, 0.5) == pytest.approx([POSITIVE, NEGATIVE])


def test_it_is_where_the_em_algorithm_comes_to_rest():
    rng = np.random.default_rng(0)
    probabilities = sigmoid(rng.normal(size=200) * 2 + 1)
    prevalence = 0.7
    for _ in range(2000):
        prevalence = float(at_prevalence(probabilities, 0.7, prevalence).mean())
    assert estimated_prevalence(probabilities, 0.7) == pytest.approx(prevalence, abs=1e-6)


def test_a_resample_gets_the_estimate_of_its_films():
    """Resamples of equal films give the estimate itself, to the grid's accuracy; edges included."""
    for positives, expected in ((6, 0.75), (0, 0.0), (10, 1.0)):
        probabilities = np.array([POSITIVE] * positives + [NEGATIVE] * (10 - positives))
        one_patient = PatientBootstrap(["p"] * 10, seed=0, resamples=3)
        assert drawn_prevalences(probabilities, 0.5, one_patient) == pytest.approx([expected] * 3, abs=2e-3)


def arrays(ill_logits: np.ndarray, healthy_logits: np.ndarray) -> ScoreArrays:
    films = [scored_film(f"i{n}.png", "PNEUMONIA", float(x), f"i{n}") for n, x in enumerate(ill_logits)]
    films += [scored_film(f"h{n}.png", "NORMAL", float(x), f"h{n}") for n, x in enumerate(healthy_logits)]
    return ScoreArrays.of(films, 1.0)


def test_label_shift_alone_is_found_and_mended():
    """Logits of two normals 3 apart are calibrated at 0.5; at a prevalence of 0.2 they are too high, and corrected."""
    rng = np.random.default_rng(1)
    mean = 2.0  # logit = 2 x for x ~ N(+-1, 1): Bayes at equal prevalence
    scores = arrays(2 * rng.normal(mean / 2, 1, 200), 2 * rng.normal(-mean / 2, 1, 800))
    found = label_shift(scores, 0.5, 0.5, 0)
    assert found is not None
    estimate = found.estimated_prevalence
    assert estimate.low < 0.2 < estimate.high
    assert estimate.high - estimate.low < 0.1
    assert found.true_prevalence.value == 0.2
    assert found.contradicted is False
    before = float(((scores.probabilities - scores.labels) ** 2).mean())
    assert found.corrected["brier_score"].value < before
    assert found.corrected["specificity"].value > float((scores.probabilities[200:] < 0.5).mean())


def test_another_shift_contradicts_the_estimate():
    """Healthy films that look ill: the estimate takes them for ill, and their labels show that it is wrong."""
    rng = np.random.default_rng(2)
    scores = arrays(rng.normal(3, 1, 50), rng.normal(2.5, 1, 150))
    found = label_shift(scores, 0.5, 0.5, 0)
    assert found.estimated_prevalence.value > 0.9
    assert found.contradicted is True


@pytest.mark.parametrize("assumed", [None, 0.0, 1.0])
def test_without_a_prevalence_to_begin_with_there_is_none(assumed: float | None):
    assert label_shift(arrays(np.ones(3), np.zeros(3)), assumed, 0.5, 0) is None
