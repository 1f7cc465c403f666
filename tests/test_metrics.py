"""metrics.py, intervals.py, delong.py, paired.py, calibration.py, operating_points.py: numbers that can be checked."""

import doctest
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

import pneumocli.intervals
import pneumocli.metrics
import pneumocli.paired
from pneumocli.calibration import fit_temperature, slope_and_intercept
from pneumocli.data.manifest import patient_of
from pneumocli.data.official import kaggle_films
from pneumocli.delong import auroc_covariance, auroc_difference, auroc_interval
from pneumocli.intervals import PatientBootstrap, all_drawn, effective_number, percentiles, rate, wilson
from pneumocli.metrics import (
    accuracy,
    auroc,
    average_precision,
    brier_score,
    calibration_error,
    class_metrics,
    confusion,
    from_confusion,
    log_loss,
    sensitivity,
    sensitivity_at_specificity,
    sigmoid,
    specificity,
    specificity_at_sensitivity,
)
from pneumocli.operating_points import choose_operating_point, doubts
from pneumocli.paired import bootstrap_p, holm, mcnemar
from pneumocli.records import Confusion


@pytest.mark.parametrize("module", [pneumocli.metrics, pneumocli.intervals, pneumocli.paired])
def test_the_examples_in_the_docstrings(module: object):
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


def films(seed: int = 0, number: int = 400, patients: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits with ties, and patients."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(patients, size=number)
    labels = (rng.random(patients) < 0.6).astype(int)[patient]
    logits = np.round(rng.normal(2.0 * labels - 1, 1.5), 1)
    return labels, logits, patient


def test_everything_equals_scikit_learn():
    labels, logits, _ = films()
    predicted, probabilities = logits >= 0, sigmoid(logits)
    values = from_confusion(confusion(labels, predicted))
    assert values["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert values["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert values["f1"] == pytest.approx(reference.f1_score(labels, predicted))
    assert values["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert values["mcc"] == pytest.approx(reference.matthews_corrcoef(labels, predicted))
    assert values["ppv"] == pytest.approx(reference.precision_score(labels, predicted))
    assert values["npv"] == pytest.approx(reference.precision_score(1 - labels, ~predicted))
    assert (values["lr_positive"], values["lr_negative"]) == pytest.approx(
        reference.class_likelihood_ratios(labels, predicted)
    )
    assert auroc(labels, logits) == pytest.approx(reference.roc_auc_score(labels, logits))
    assert average_precision(labels, logits) == pytest.approx(reference.average_precision_score(labels, logits))
    assert brier_score(labels, probabilities) == pytest.approx(reference.brier_score_loss(labels, probabilities))
    assert log_loss(labels, logits) == pytest.approx(reference.log_loss(labels, probabilities))
    assert accuracy(labels, predicted) == values["accuracy"]
    table = class_metrics(confusion(labels, predicted))
    precision, recall, f1, support = reference.precision_recall_fscore_support(labels, predicted)
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        row = table[name]
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(
            (precision[label], recall[label], f1[label], support[label])
        )


def test_the_assignments_table():
    """The transfer run of the assignment: NORMAL 97/90/93, PNEUMONIA 94/98/96 on 234 and 390 films, 95.19 %."""
    table = class_metrics(Confusion(tp=383, fn=7, fp=23, tn=211))
    shown = {name: tuple(round(100 * (v or 0)) for v in (r.precision, r.recall, r.f1)) for name, r in table.items()}
    assert shown == {"NORMAL": (97, 90, 93), "PNEUMONIA": (94, 98, 96)}
    assert from_confusion(Confusion(tp=383, fn=7, fp=23, tn=211))["accuracy"] == pytest.approx(0.9519, abs=5e-5)


def test_what_is_undefined_is_none():
    values = from_confusion(Confusion(tp=3, fp=0, fn=0, tn=0))
    assert values["sensitivity"] == 1.0
    for name in ("specificity", "npv", "balanced_accuracy", "mcc", "youden_j", "lr_positive", "macro_f1"):
        assert values[name] is None, name
    assert (sensitivity([0], [True]), specificity([1], [True]), auroc([1, 1], [0.1, 0.2])) == (None, None, None)
    assert (sensitivity_at_specificity([1], [0.2], 0.9), average_precision([0], [0.2])) == (None, None)
    with pytest.raises(ValueError, match="no films"):
        accuracy([], [])
    with pytest.raises(ValueError, match="no films"):
        log_loss([], [])


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=40))
def test_fixed_specificity_and_sensitivity_are_mirror_images(rows: list[tuple[bool, int]]):
    labels, scores = np.array([a for a, _ in rows], int), np.array([b for _, b in rows], float)
    found = sensitivity_at_specificity(labels, scores, 0.8)
    assert found == specificity_at_sensitivity(1 - labels, -scores, 0.8)
    if found is not None:
        kept = [
            sensitivity(labels, scores >= t) or 0.0
            for t in [*np.unique(scores), np.inf]
            if (specificity(labels, scores >= t) or 0.0) >= 0.8 - 1e-12
        ]
        assert found == pytest.approx(max(kept))


def test_calibration_error_by_hand():
    assert calibration_error([1, 0], [1.0, 0.0]) == 0.0
    assert calibration_error([1, 1, 0, 0], [0.55, 0.55, 0.55, 0.55]) == pytest.approx(0.05)


def test_wilson_against_newcombe_1998():
    """doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3."""
    for successes, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_dependent_films_are_worth_fewer():
    patients = np.repeat(np.arange(50), 4)
    same = np.repeat(np.arange(50) % 2, 4)
    assert effective_number(same, patients) == pytest.approx(50, rel=0.03)
    apart = np.tile([0, 1, 0, 1], 50)
    assert effective_number(apart, patients) == 200
    assert effective_number(np.ones(200), patients) == 50
    metric = rate(same, patients)
    assert metric.low is not None
    assert metric.low < wilson(100, 200)[0]
    assert rate(np.array([]), np.array([])).value is None


def test_the_bootstrap_equals_weighted_scikit_learn():
    labels, logits, patients = films(number=90, patients=25)
    bootstrap = PatientBootstrap(patients, seed=3, resamples=20)
    drawn = all_drawn(bootstrap, labels, logits, sigmoid(logits), 0.4)
    rng = np.random.default_rng(3)
    names, index = np.unique(patients, return_inverse=True)
    choice = rng.integers(len(names), size=(20, len(names)))
    for number in range(20):
        weights = np.bincount(choice[number], minlength=len(names))[index].astype(float)
        kept, predicted = weights > 0, sigmoid(logits) >= 0.4
        args = {"sample_weight": weights[kept]}
        truth, score = labels[kept], logits[kept]
        assert drawn["auroc"][number] == pytest.approx(reference.roc_auc_score(truth, score, **args))
        assert drawn["average_precision"][number] == pytest.approx(
            reference.average_precision_score(truth, score, **args)
        )
        assert drawn["mcc"][number] == pytest.approx(reference.matthews_corrcoef(truth, predicted[kept], **args))
        assert drawn["log_loss"][number] == pytest.approx(reference.log_loss(truth, sigmoid(score), **args))


def test_blocks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch):
    labels, logits, patients = films(number=80, patients=20)
    whole = PatientBootstrap(patients, 1, 50).rankings(labels, logits)["auroc"]
    monkeypatch.setattr(pneumocli.intervals, "_BLOCK_WEIGHTS", 800)
    np.testing.assert_allclose(PatientBootstrap(patients, 1, 50).rankings(labels, logits)["auroc"], whole)


def test_percentiles_of_what_is_often_undefined():
    assert percentiles(0.5, np.full(100, np.nan)).low is None
    assert percentiles(None, np.zeros(100)).value is None
    metric = percentiles(0.5, np.linspace(0, 1, 1001))
    assert (metric.low, metric.high) == pytest.approx((0.025, 0.975))


def test_delong_by_brute_force():
    labels, a, _ = films(number=60)
    b = np.round(a + np.random.default_rng(1).normal(0, 1, 60), 1)
    areas, covariance = auroc_covariance(labels, np.stack([a, b]))
    x, y = labels == 1, labels == 0
    of_x, of_y = [], []
    for scores in (a, b):
        wins = (scores[x][:, None] > scores[y][None]) + 0.5 * (scores[x][:, None] == scores[y][None])
        of_x.append(wins.mean(1))
        of_y.append(wins.mean(0))
    np.testing.assert_allclose(areas, [v.mean() for v in of_x])
    np.testing.assert_allclose(covariance, np.cov(of_x) / x.sum() + np.cov(of_y) / y.sum())
    low, high = auroc_interval(labels, a)
    assert low < areas[0] < high
    assert auroc_difference(labels, a, a)[2] == 1.0
    with pytest.raises(ValueError, match="two films"):
        auroc_covariance([1, 0, 0], [[0.1, 0.2, 0.3]])


def test_exact_mcnemar_against_fagerland_2013():
    """doi:10.1186/1471-2288-13-91: airway hyper-responsiveness, 1 and 7 discordant pairs, exact p 0.0703."""
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(7, 1) == mcnemar(1, 7)


def test_holm_never_lowers_and_keeps_the_order():
    assert holm([0.005, 0.011, 0.02, 0.04, 0.13]) == pytest.approx([0.025, 0.044, 0.06, 0.08, 0.13])
    assert holm([0.9, 0.9]) == [1.0, 1.0]


def test_bootstrap_p_is_never_zero():
    assert bootstrap_p(np.ones(1999)) == pytest.approx(2 / 2000)
    assert bootstrap_p(np.array([-1.0, 1.0] * 500)) == 1.0
    assert bootstrap_p(np.full(100, np.nan)) is None


def test_the_temperature_undoes_overconfidence():
    labels, logits, _ = films(number=4000, patients=4000)
    honest = fit_temperature(logits, labels)
    assert fit_temperature(5 * logits, labels) == pytest.approx(5 * honest, rel=0.02)
    assert log_loss(labels, 5 * logits / fit_temperature(5 * logits, labels)) < log_loss(labels, 5 * logits)
    assert fit_temperature([-3.0, -2.0, 2.0, 3.0] * 5, [0, 0, 1, 1] * 5) == 1.0  # told apart: the loss has no minimum
    assert fit_temperature([1.0, 2.0], [1, 1]) == 1.0


def test_slope_and_intercept_of_honest_and_overconfident_probabilities():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 5000)
    labels = (rng.random(5000) < sigmoid(logits)).astype(int)
    slope, intercept = slope_and_intercept(logits, labels, np.arange(5000))
    assert slope.low < 1 < slope.high  # type: ignore[operator]
    assert intercept.low < 0 < intercept.high  # type: ignore[operator]
    assert slope_and_intercept(2 * logits, labels, np.arange(5000))[0].value == pytest.approx(0.5, abs=0.05)
    assert slope_and_intercept([-1.0, 1.0], [0, 1], [0, 1])[0].value is None


def test_operating_points_reach_what_they_promise():
    labels, logits, _ = films(number=1000)
    for rule in ("sensitivity=0.95", "specificity=0.9", "youden", "cost=10", "0.5"):
        point = choose_operating_point(logits, labels, rule, 1.3)
        predicted = sigmoid(logits / 1.3) >= point.threshold
        assert point.sensitivity == sensitivity(labels, predicted)
        assert point.specificity == specificity(labels, predicted)
        name, _, number = rule.partition("=")
        if name in ("sensitivity", "specificity"):
            assert (getattr(point, name) or 0) >= float(number)
    best = choose_operating_point(logits, labels, "youden", 1.0)
    others = [
        (sensitivity(labels, logits >= t) or 0) + (specificity(labels, logits >= t) or 0) for t in np.unique(logits)
    ]
    assert (best.sensitivity or 0) + (best.specificity or 0) == pytest.approx(max(others))
    assert choose_operating_point(logits, labels, "cost=100", 1.0).threshold < best.threshold
    one_class = choose_operating_point([1.0, 2.0], [1, 1], "youden", 1.0)
    assert one_class.threshold == 0.5
    assert "needs both classes" in one_class.rule


def test_doubts_about_a_threshold():
    assert doubts(500, 500, 0.9, "youden") is None
    assert doubts(5, 5, 0.9, "0.5") is None
    assert "8 films of one class" in (doubts(8, 8, 0.9, "youden") or "")
    assert "may not carry over" in (doubts(500, 500, 0.999, "youden") or "")


@pytest.mark.slow
def test_intervals_cover_what_they_promise():
    """1,000 studies with the official test split's patients: ours cover 90-97 %, plain Wilson on films less than 90."""
    sizes = Counter(patient_of(name)[0] for split, _, name in kaggle_films() if split == "test")  # type: ignore[index]
    patients = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    rng, truth = np.random.default_rng(0), 0.9
    ours = naive = 0
    for _ in range(1000):
        # A patient's own chance: films of one child go right or wrong together.
        chance = rng.beta(truth * 0.6, (1 - truth) * 0.6, len(sizes))
        hits = rng.random(patients.size) < chance[patients]
        metric = rate(hits, patients)
        assert metric.low is not None
        assert metric.high is not None
        ours += metric.low <= truth <= metric.high
        low, high = wilson(float(hits.sum()), hits.size)
        naive += low <= truth <= high
    assert 900 <= ours <= 975, ours
    assert naive < 900, naive


@pytest.mark.slow
def test_a_hundred_thousand_films_are_evaluated_quickly():
    labels, logits, patients = films(number=100_000, patients=60_000)
    began = time.perf_counter()
    drawn = all_drawn(PatientBootstrap(patients, 0), labels, logits, sigmoid(logits), 0.5)
    assert time.perf_counter() - began < 60  # 20 s on a quiet machine
    assert np.isfinite(drawn["auroc"]).all()
