"""Coverage, share referred and error among the answered, counted by hand."""

from itertools import pairwise

import numpy as np
import pytest

from pneumocli.evaluation.referral import referral, risk_points
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.model.card import ReferLimits
from tests.conftest import scored_film

LIMITS = ReferLimits(alpha=0.1, normal_up_to=1, pneumonia_from=-1, num_normal=9, num_pneumonia=9)
FILMS = [
    *(scored_film(f"n{logit}", "NORMAL", logit, f"n{logit}") for logit in (-4.0, -3.0, 0.5, 3.0)),
    *(scored_film(f"p{logit}", "PNEUMONIA", logit, f"p{logit}") for logit in (-2.0, -0.5, 2.0, 4.0, 5.0, 6.0)),
]


def test_figures_by_hand():
    found = referral(ScoreArrays.of(FILMS, 1.7), LIMITS)  # a temperature does not move limits
    assert found is not None
    assert found.coverage["NORMAL"].value == 3 / 4
    assert found.coverage["PNEUMONIA"].value == 5 / 6
    assert (found.num_referred, found.num_without_class, found.num_wrong) == (2, 0, 2)
    assert found.referred.value == 0.2
    assert found.error.value == 2 / 8
    assert found.error.low is not None


def test_films_between_two_apart_limits_are_ruled_out_for_both():
    apart = LIMITS.model_copy(update={"normal_up_to": -1.0, "pneumonia_from": 1.0})
    found = referral(ScoreArrays.of(FILMS, 1.0), apart)
    assert found is not None
    assert found.num_referred == found.num_without_class == 2
    assert found.coverage["NORMAL"].value == 2 / 4


def test_all_referred_leave_the_error_undefined():
    wide = LIMITS.model_copy(update={"normal_up_to": 9.0, "pneumonia_from": -9.0})
    found = referral(ScoreArrays.of(FILMS, 1.0), wide)
    assert found is not None
    assert (found.referred.value, found.error.value) == (1.0, None)


def test_the_stored_model_lies_on_its_curve():
    found = referral(ScoreArrays.of(FILMS, 1.0), LIMITS)
    assert found is not None
    assert (0.8, found.error.value) in [(point.answered, point.error) for point in found.risk]
    assert found.risk[-1].answered == 1


def test_a_curve_of_many_films_stays_short():
    rng = np.random.default_rng(0)
    points = risk_points(rng.normal(size=5000), rng.integers(0, 2, 5000), 0.0, keep=4321)
    assert len(points) == 61
    assert 4321 / 5000 in [point.answered for point in points]
    assert points[-1].answered == 1
    assert all(a.answered < b.answered for a, b in pairwise(points))


def test_a_model_without_limits_has_no_referral():
    assert referral(ScoreArrays.of(FILMS, 1.0), None) is None


@pytest.mark.parametrize("middle", [-9.0, 9.0])
def test_a_middle_beyond_all_films_answers_one_class(middle: float):
    labels = np.array([0, 1, 1, 1])
    assert risk_points(np.array([0.0, 1, 2, 3]), labels, middle)[-1].error == (0.25 if middle < 0 else 0.75)
