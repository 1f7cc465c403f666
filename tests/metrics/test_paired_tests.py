"""Comparison of two runs: exact tests, correction for many, and the paired bootstrap."""

import numpy as np
import pytest

from pneumocli.metrics.classification import MAIN_METRICS
from pneumocli.metrics.paired_tests import (
    BOOTSTRAP,
    bootstrap_differences,
    bootstrap_p,
    delong_difference,
    drawn_values,
    joined_patients,
    mcnemar,
    mcnemar_differences,
    values_of,
)
from pneumocli.metrics.scores import ScoreArrays


def scores_of(labels: np.ndarray, logits: np.ndarray, patients: np.ndarray | None = None) -> ScoreArrays:
    names = tuple(f"film{number}" for number in range(len(labels)))
    keys = np.array(names) if patients is None else patients
    return ScoreArrays(names, keys, np.where(labels == 1, "bacteria", "normal"), labels, logits, 1.0)


def compared(a: ScoreArrays, b: ScoreArrays, seed: int = 0):
    rows = bootstrap_differences(
        ("a", "b"), (values_of(a, 0.5), values_of(b, 0.5)), (drawn_values(a, 0.5, seed), drawn_values(b, 0.5, seed))
    )
    return {row.metric: row for row in rows}


@pytest.mark.parametrize(
    ("only_a", "only_b", "expected"),
    # Fagerland et al. 2013, doi:10.1186/1471-2288-13-91: airway hyper-responsiveness, and complete response.
    [(1, 7, 0.0703), (6, 16, 0.0525), (0, 5, 0.0625), (5, 5, 1.0), (0, 0, 1.0)],
)
def test_exact_mcnemar_as_published(only_a: int, only_b: int, expected: float):
    assert mcnemar(only_a, only_b) == pytest.approx(expected, abs=5e-5)
    assert mcnemar(only_b, only_a) == mcnemar(only_a, only_b)


def test_bootstrap_p():
    assert bootstrap_p(np.linspace(0.1, 1, 1999)) == pytest.approx(2 / 2000)
    assert bootstrap_p(np.linspace(-1, -0.1, 1999)) == pytest.approx(2 / 2000)
    assert bootstrap_p(np.zeros(100)) == 1.0
    assert bootstrap_p(np.r_[np.full(4, -1.0), np.full(95, 1.0)]) == pytest.approx(0.1)
    assert bootstrap_p(np.r_[np.full(51, np.nan), np.ones(49)]) is None


def test_runs_are_paired_film_by_film():
    """Two runs that make the same mistakes but for one film: the pairing takes the common uncertainty away."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    logits = labels * 2 - 1 + rng.normal(size=200) * 1.5
    better = logits.copy()
    wrong = np.flatnonzero((logits >= 0) != (labels == 1))
    better[wrong[:3]] *= -1
    row = compared(scores_of(labels, logits), scores_of(labels, better))["accuracy"]
    assert row.difference == pytest.approx(3 / 200)
    assert row.method == BOOTSTRAP
    # Unpaired, the standard error of a difference near 80 % on 200 films would be 4 points.
    assert 0 <= row.low < row.difference < row.high < 0.04
    nothing = compared(scores_of(labels, logits), scores_of(labels, logits))
    assert set(nothing) == set(MAIN_METRICS)
    for same in nothing.values():
        assert (same.difference, same.low, same.high, same.p_value) == (0, None, None, 1)  # no interval is a point
        assert same.method == f"{BOOTSTRAP}; no interval: the resamples do not differ"


def test_films_that_any_run_knows_to_be_of_one_patient_are_drawn_together():
    with_patients = np.array(["a", "a", "b", "c"])
    alone = np.array(["1", "2", "3", "4"])
    others = np.array(["x", "y", "y", "z"])
    assert joined_patients([with_patients, with_patients.copy()]) is with_patients
    assert joined_patients([with_patients, alone]).tolist() == ["a", "a", "b", "c"]
    assert joined_patients([alone, with_patients]).tolist() == ["1", "1", "3", "4"]
    assert joined_patients([with_patients, others]).tolist() == ["a", "a", "a", "c"]  # y is a's and b's


def test_the_seed_decides():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 80)
    a, b = scores_of(labels, rng.normal(size=80) + labels), scores_of(labels, rng.normal(size=80) + 2 * labels)
    assert compared(a, b, 5) == compared(a, b, 5)
    assert compared(a, b, 5)["auroc"].low != compared(a, b, 6)["auroc"].low


def test_swapping_the_runs_turns_the_sign():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 80)
    a, b = scores_of(labels, rng.normal(size=80) + labels), scores_of(labels, rng.normal(size=80) + 2 * labels)
    there, back = compared(a, b)["auroc"], compared(b, a)["auroc"]
    assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
    assert there.p_value == back.p_value


def test_one_class_leaves_the_ranking_undefined():
    labels = np.ones(30, dtype=np.int64)
    rng = np.random.default_rng(0)
    a, b = scores_of(labels, rng.normal(size=30)), scores_of(labels, rng.normal(size=30))
    rows = compared(a, b)
    assert rows["auroc"].difference is rows["auroc"].p_value is rows["specificity"].low is None
    assert "undefined" in rows["auroc"].method
    assert rows["sensitivity"].difference is not None
    assert delong_difference(("a", "b"), a, b) == []
    assert [row.metric for row in mcnemar_differences(("a", "b"), labels, labels == 1, labels == 0)] == [
        "accuracy",
        "sensitivity",
    ]


def test_mcnemar_by_class():
    labels = np.array([1, 1, 1, 1, 0, 0])
    right_a = np.array([1, 1, 0, 0, 1, 1], bool)
    right_b = np.array([1, 1, 1, 1, 1, 0], bool)
    rows = {row.metric: row for row in mcnemar_differences(("a", "b"), labels, right_a, right_b)}
    assert (rows["accuracy"].a, rows["accuracy"].b) == pytest.approx((4 / 6, 5 / 6))
    assert rows["sensitivity"].difference == 0.5
    assert rows["specificity"].difference == -0.5
    assert rows["accuracy"].p_value == 1.0
    assert rows["sensitivity"].p_value == 0.5
    assert "only a is right on 1, only b on 2" in rows["accuracy"].method
    assert "assumes independent films" in rows["accuracy"].method


def test_delong_row():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 60)
    a, b = scores_of(labels, rng.normal(size=60)), scores_of(labels, rng.normal(size=60) + labels)
    (row,) = delong_difference(("a", "b"), a, b)
    assert row.low < row.difference < row.high
    assert row.difference == pytest.approx(row.b - row.a)
    assert "patients as clusters" in row.method
