"""Calibration and threshold fitted to another place."""

import numpy as np
import pytest

from pneumocli.metrics.classification import log_loss, sigmoid
from pneumocli.metrics.recalibration import fit_logit_map, refit, sample_sizes
from pneumocli.metrics.scores import ScoreArrays


def made_up(number: int = 400, *, scale: float = 1.0, offset: float = 0.0, seed: int = 0) -> ScoreArrays:
    """Two films of each patient; the truth follows ``sigmoid(scale * logit + offset)``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, number)
    labels = (rng.random(number) < sigmoid(scale * logits + offset)).astype(np.int64)
    return ScoreArrays(
        images=tuple(map(str, range(number))),
        patients=np.array([f"p{label}-{film // 2}" for film, label in enumerate(labels)]),
        kinds=np.array(["unknown"] * number),
        labels=labels,
        logits=logits,
        temperature=1.0,
    )


def test_the_fit_finds_the_truth_and_agrees_with_a_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    scores = made_up(20_000, scale=0.5, offset=-2.0)
    found = fit_logit_map(scores.logits, scores.labels)
    other = LogisticRegression(C=np.inf).fit(scores.logits[:, None], scores.labels)
    assert (found.scale, found.offset) == pytest.approx((0.5, -2.0), abs=0.1)
    assert (found.scale, found.offset) == pytest.approx((other.coef_[0, 0], other.intercept_[0]), abs=0.01)


def test_the_scale_stays_finite_where_classes_are_separated():
    found = fit_logit_map(np.arange(-10.0, 10.0) + 0.5, np.repeat([0, 1], 10))
    assert 0 < found.scale < 10


def test_equal_scores_give_the_share_of_pneumonia():
    found = fit_logit_map(np.ones(100), np.repeat([0, 1], [75, 25]))
    assert found.scale == 0
    assert sigmoid([found.offset])[0] == pytest.approx(0.25, abs=0.01)


def test_refit_improves_shifted_scores_on_other_films():
    found, other = refit(made_up(offset=-4.0), "youden", 0.5), made_up(2000, offset=-4.0, seed=1)
    assert found.before.sensitivity.value > found.before.specificity.value + 0.15
    assert abs(found.after.sensitivity.value - found.after.specificity.value) < 0.15
    assert found.after.log_loss.value < found.before.log_loss.value
    assert log_loss(other.labels, found.map(other.logits)) < log_loss(other.labels, other.logits) - 0.1
    fixed = refit(made_up(offset=-4.0), "0.5", 0.5).point
    assert (fixed.threshold, fixed.chosen_on, found.point.chosen_on) == (0.5, "recalibrated", "recalibrated")
    assert found.point.sensitivity == found.after.sensitivity.value


def test_chance_stays_chance_in_the_cross_validated_figures():
    found = refit(made_up(60, scale=0.0), "youden", 0.5)
    assert found.auroc.low < 0.5 < found.auroc.high
    assert found.after.log_loss.value > np.log(2) - 0.02  # a fit to its own films would look better


def test_more_patients_measure_more_exactly():
    widths = [row.sensitivity for row in sample_sizes(0.9, 0.7)]
    assert widths == sorted(widths, reverse=True)
