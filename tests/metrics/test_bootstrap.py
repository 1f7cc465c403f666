"""Intervals: against published examples, weighted scikit-learn metrics, and simulated studies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from pneumocli.data.patients import patient_of
from pneumocli.data.release_lists import kaggle_films
from pneumocli.metrics import bootstrap
from pneumocli.metrics.bootstrap import PatientBootstrap, all_drawn, effective_number, percentiles, rate, wilson
from pneumocli.metrics.classification import sigmoid


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(successes: int, trials: int, low: float, high: float):
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3.
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 200), st.integers(1, 200))
def test_wilson_holds_the_share(successes: int, trials: int):
    successes = min(successes, trials)
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1


def test_effective_number_of_films():
    alone = np.arange(6)
    # Rao and Scott's variance has m / (m - 1) for m patients: one film each is worth one film less.
    assert effective_number([1, 0, 1, 0, 1, 1], alone) == pytest.approx(5)
    # Three patients with two films each that agree: their variance is that of three films, over K - 1.
    pairs = [0, 0, 1, 1, 2, 2]
    assert effective_number([1, 1, 0, 0, 1, 1], pairs) == pytest.approx(2)
    # Films of a patient that disagree are worth more than independent ones: never more than their number.
    assert effective_number([1, 0, 1, 0, 1, 0], pairs) == 6
    # All alike: the dependence cannot be estimated, so patients count.
    assert effective_number([1] * 6, pairs) == 3
    assert effective_number([0] * 6, pairs) == 3
    assert effective_number([1, 0], [7, 7]) == 1
    four_each = np.repeat(np.arange(50), 4)
    assert effective_number(four_each % 2, four_each) == pytest.approx(50, rel=0.03)
    assert effective_number(np.tile([0, 1, 0, 1], 50), four_each) == 200


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=40))
def test_effective_number_is_never_above_the_number(items: list[tuple[int, int]]):
    hits, patients = zip(*items, strict=True)
    assert 0 < effective_number(hits, patients) <= len(items)


def test_rate_widens_with_dependence():
    hits = [1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1]
    alone, paired = rate(hits, np.arange(12)), rate(hits, np.arange(12) // 2)
    assert alone.value == paired.value == pytest.approx(10 / 12)
    assert paired.low < alone.low
    assert paired.high >= alone.high
    assert rate([], []).value is None
    assert "no films" in rate([], []).method


def clustered(seed: int = 0, films: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    patients = np.array([f"p{number}" for number in rng.integers(0, 50, films)])
    labels = rng.integers(0, 2, films)
    return labels, np.round(labels + rng.normal(size=films), 1), patients


def test_resamples_equal_weighted_metrics():
    labels, logits, patients = clustered()
    bootstrap = PatientBootstrap(patients, seed=3, resamples=25)
    probabilities = sigmoid(logits)
    drawn = all_drawn(bootstrap, labels, logits, probabilities, 0.6)
    predicted = probabilities >= 0.6
    weights = np.concatenate(list(bootstrap._patient_weights(0)))[:, np.unique(patients, return_inverse=True)[1]]
    for draw, weight in enumerate(weights):
        expected = {
            "accuracy": reference.accuracy_score(labels, predicted, sample_weight=weight),
            "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted, sample_weight=weight),
            "sensitivity": reference.recall_score(labels, predicted, sample_weight=weight),
            "specificity": reference.recall_score(labels, predicted, pos_label=0, sample_weight=weight),
            "ppv": reference.precision_score(labels, predicted, sample_weight=weight),
            "npv": reference.precision_score(labels, predicted, pos_label=0, sample_weight=weight),
            "f1": reference.f1_score(labels, predicted, sample_weight=weight),
            "macro_f1": reference.f1_score(labels, predicted, average="macro", sample_weight=weight),
            "mcc": reference.matthews_corrcoef(labels, predicted, sample_weight=weight),
            "auroc": reference.roc_auc_score(labels, logits, sample_weight=weight),
            "average_precision": reference.average_precision_score(labels, logits, sample_weight=weight),
            "brier_score": reference.brier_score_loss(labels, probabilities, sample_weight=weight),
            "log_loss": reference.log_loss(labels, probabilities, sample_weight=weight),
        }
        alarms, hits, _ = reference.roc_curve(labels, logits, sample_weight=weight, drop_intermediate=False)
        expected["sensitivity_at_specificity_90"] = hits[1 - alarms >= 0.9 - 1e-12].max()
        expected["specificity_at_sensitivity_95"] = (1 - alarms[hits >= 0.95 - 1e-12]).max()
        for name, value in expected.items():
            assert drawn[name][draw] == pytest.approx(value, abs=1e-9), name


def test_a_resample_draws_as_many_patients():
    _, _, patients = clustered()
    weights = np.concatenate(list(PatientBootstrap(patients, 0, 40)._patient_weights(0)))
    assert (weights.sum(axis=1) == len(set(patients))).all()


def test_the_seed_decides_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch):
    labels, logits, patients = clustered()

    def drawn(seed: int) -> dict[str, np.ndarray]:
        return all_drawn(PatientBootstrap(patients, seed, 200), labels, logits, sigmoid(logits), 0.5)

    one = drawn(1)
    monkeypatch.setattr(bootstrap, "_BLOCK_WEIGHTS", 700)  # five draws at a time
    again, other = drawn(1), drawn(2)
    for name, values in one.items():
        np.testing.assert_allclose(values, again[name], atol=1e-12, err_msg=name)
    assert (one["auroc"] != other["auroc"]).any()


def test_one_class_has_no_ranking_interval():
    drawn = PatientBootstrap(["a", "b", "c"], 0, 50).rankings([1, 1, 1], [0.1, 0.2, 0.3])
    assert np.isnan(drawn["auroc"]).all()
    metric = percentiles(1.0, drawn["average_precision"])
    assert (metric.value, metric.low, metric.high) == (1.0, None, None)
    assert "undefined in most resamples" in metric.method
    assert percentiles(None, drawn["auroc"]).method.startswith("undefined")
    beside = percentiles(0.059, np.linspace(0.06, 0.16, 1001))
    assert (beside.value, beside.low, beside.high) == (0.059, None, None)
    assert beside.method == "no interval: the resamples lie beside the value"
    metric = percentiles(0.5, np.linspace(0, 1, 1001))
    assert (metric.low, metric.high) == pytest.approx((0.025, 0.975))


def official_patients(metric: str) -> np.ndarray:
    """Patient of each film of the official test split that a metric is about, as numbers."""
    chosen = ("NORMAL", "PNEUMONIA") if metric == "accuracy" else ("PNEUMONIA",)
    names = [name for split, label, name in sorted(kaggle_films()) if split == "test" and label in chosen]
    return np.unique([patient_of(name)[0] for name in names], return_inverse=True)[1]


def coverage(metric: str, share: float, correlation: float) -> tuple[int, int]:
    """Of 1,000 studies, in how many the clustered and the naive interval hold the truth.

    A patient's films are right with a chance of their own, Beta distributed: they tend to be right or wrong together.
    """
    patients = official_patients(metric)
    rng = np.random.default_rng(0)
    strength = (1 - correlation) / correlation
    clustered = naive = 0
    for _ in range(1000):
        chance = rng.beta(share * strength, (1 - share) * strength, patients.max() + 1)
        hits = rng.random(patients.size) < chance[patients]
        found = rate(hits, patients)
        clustered += found.low <= share <= found.high
        low, high = wilson(hits.sum(), hits.size)
        naive += low <= share <= high
    return clustered, naive


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "sensitivity"])
@pytest.mark.parametrize("share", [0.85, 0.92])
def test_intervals_cover_the_truth_where_naive_ones_do_not(metric: str, share: float):
    clustered, naive = coverage(metric, share, correlation=0.5)
    assert 900 <= clustered <= 970
    assert 800 <= naive < 900
