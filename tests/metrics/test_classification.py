"""Metrics against hand-worked tables, against scikit-learn, and where they are undefined."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from pneumocli.metrics import bootstrap, classification, paired_tests
from pneumocli.metrics.records import Confusion
from pneumocli.reporting import text


@pytest.mark.parametrize("module", [classification, bootstrap, paired_tests, text])
def test_the_examples_in_the_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def random_films(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 300)
    logits = labels + rng.normal(size=300)
    return labels, np.round(logits, 0 if ties else 12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed: int, ties: bool):
    labels, logits = random_films(seed, ties=ties)
    probabilities = classification.sigmoid(logits)
    predicted = probabilities >= 0.5
    ours = classification.from_confusion(classification.confusion(labels, predicted))
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "sensitivity": reference.recall_score(labels, predicted),
        "specificity": reference.recall_score(labels, predicted, pos_label=0),
        "ppv": reference.precision_score(labels, predicted),
        "npv": reference.precision_score(labels, predicted, pos_label=0),
        "f1": reference.f1_score(labels, predicted),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "mcc": reference.matthews_corrcoef(labels, predicted),
    }
    likelihood = reference.class_likelihood_ratios(labels, predicted)
    expected |= {"lr_positive": likelihood[0], "lr_negative": likelihood[1]}
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name
    assert ours["youden_j"] == pytest.approx(ours["sensitivity"] + ours["specificity"] - 1)
    assert classification.auroc(labels, logits) == pytest.approx(reference.roc_auc_score(labels, logits))
    assert classification.average_precision(labels, logits) == pytest.approx(
        reference.average_precision_score(labels, logits)
    )
    assert classification.brier_score(labels, probabilities) == pytest.approx(
        reference.brier_score_loss(labels, probabilities)
    )
    assert classification.log_loss(labels, logits) == pytest.approx(reference.log_loss(labels, probabilities))
    rows = reference.classification_report(labels, predicted, output_dict=True)
    for name, key in (("NORMAL", "0"), ("PNEUMONIA", "1")):
        row = classification.class_metrics(classification.confusion(labels, predicted))[name]
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(
            (rows[key]["precision"], rows[key]["recall"], rows[key]["f1-score"], rows[key]["support"])
        )


def test_auroc_counts_pairs():
    labels, logits = random_films(3, ties=True)
    positive, negative = logits[labels == 1], logits[labels == 0]
    wins = (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
    assert classification.auroc(labels, logits) == pytest.approx(wins / positive.size / negative.size)


def test_a_table_worked_by_hand():
    # 20 of 30 pneumonias found, 180 of 2,000 healthy alarmed on: the screening example of many textbooks.
    values = classification.from_confusion(Confusion(tp=20, fp=180, fn=10, tn=1820))
    assert values["sensitivity"] == pytest.approx(2 / 3)
    assert values["specificity"] == pytest.approx(0.91)
    assert values["ppv"] == pytest.approx(0.1)
    assert values["npv"] == pytest.approx(1820 / 1830)
    assert values["accuracy"] == pytest.approx(1840 / 2030)
    assert values["lr_positive"] == pytest.approx((2 / 3) / 0.09)
    assert values["lr_negative"] == pytest.approx((1 / 3) / 0.91)
    assert values["f1"] == pytest.approx(40 / 230)


def test_what_is_undefined_is_none():
    only_normal = classification.from_confusion(Confusion(tp=0, fp=0, fn=0, tn=5))
    assert only_normal["accuracy"] == only_normal["specificity"] == only_normal["npv"] == 1.0
    for name in ("sensitivity", "ppv", "f1", "macro_f1", "mcc", "balanced_accuracy", "youden_j", "lr_positive"):
        assert only_normal[name] is None, name
    nobody_alarmed = classification.from_confusion(Confusion(tp=5, fp=0, fn=0, tn=5))
    assert nobody_alarmed["lr_positive"] is None
    assert nobody_alarmed["lr_negative"] == 0.0
    assert set(classification.from_confusion(Confusion(tp=0, fp=0, fn=0, tn=0)).values()) == {None}
    for labels in ([], [0, 0], [1, 1]):
        scores = np.linspace(0, 1, len(labels))
        assert classification.auroc(labels, scores) is None
        assert classification.average_precision(labels, scores) is None
        assert classification.sensitivity_at_specificity(labels, scores, 0.9) is None
        assert classification.specificity_at_sensitivity(labels, scores, 0.9) is None
    without_normals = classification.from_confusion(Confusion(tp=3, fp=0, fn=1, tn=0))
    assert (without_normals["f1"], without_normals["macro_f1"]) == (pytest.approx(6 / 7), None)
    assert classification.from_confusion(Confusion(tp=0, fp=2, fn=0, tn=5))["f1"] is None


@pytest.mark.parametrize("function", [classification.accuracy, classification.log_loss])
def test_no_films_have_no_mean(function):
    with pytest.raises(ValueError, match="no films"):
        function([], [])


def test_sensitivity_at_specificity_by_hand():
    labels, scores = [0, 0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 4, 8, 5, 6, 7, 9]
    assert classification.sensitivity_at_specificity(labels, scores, 0.8) == 1.0
    assert classification.sensitivity_at_specificity(labels, scores, 0.9) == 0.25
    assert classification.specificity_at_sensitivity(labels, scores, 0.95) == 0.8
    assert classification.specificity_at_sensitivity(labels, scores, 0.2) == 1.0
    # All scores alike: nothing or everything is called positive.
    assert classification.sensitivity_at_specificity([0, 1], [5, 5], 0.9) == 0.0


def test_log_loss_of_logits_that_a_probability_cannot_hold():
    assert classification.log_loss([0, 1], [1000.0, 1000.0]) == 500.0
    assert math.isfinite(classification.log_loss([0], [1e300]))


def test_calibration_error_by_hand():
    # One bin at 0.9-1.0 with 8 of 10 pneumonias at probability 0.95, one at 0.1-0.2 with 1 of 10 at 0.1.
    labels = [1] * 8 + [0] * 2 + [1] + [0] * 9
    probabilities = [0.95] * 10 + [0.1] * 10
    assert classification.calibration_error(labels, probabilities) == pytest.approx(0.15 / 2)
    assert classification.calibration_bins([0.0, 0.0999, 0.1, 0.999, 1.0]).tolist() == [0, 0, 1, 9, 9]


def test_brier_skill_of_the_prevalence_is_zero():
    assert classification.brier_skill([1, 0, 0, 0], [0.25] * 4) == pytest.approx(0.0)


def test_ppv_at_another_prevalence():
    assert classification.at_prevalence(0.9, 0.9, 0.5) == pytest.approx((0.9, 0.9))
    assert classification.at_prevalence(0.0, 1.0, 0.5) == (None, 0.5)


counts = st.integers(min_value=0, max_value=500)


@given(counts, counts, counts, counts)
def test_rates_stay_in_their_range(tp: int, fp: int, fn: int, tn: int):
    values = classification.from_confusion(Confusion(tp=tp, fp=fp, fn=fn, tn=tn))
    for name, value in values.items():
        low = -1 if name in ("mcc", "youden_j") else 0
        high = math.inf if name.startswith("lr_") else 1
        assert value is None or low - 1e-12 <= value <= high + 1e-12, name
    swapped = classification.from_confusion(Confusion(tp=tn, fp=fn, fn=fp, tn=tp))
    assert swapped["sensitivity"] == values["specificity"]
    assert swapped["ppv"] == values["npv"]
    assert swapped["macro_f1"] == values["macro_f1"]
    assert swapped["mcc"] == pytest.approx(values["mcc"]) if values["mcc"] is not None else swapped["mcc"] is None


films = st.lists(st.tuples(st.integers(0, 1), st.integers(-6, 6)), min_size=1, max_size=30)


@given(films)
def test_only_the_order_of_scores_counts(items: list[tuple[int, int]]):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    area = classification.auroc(labels, scores)
    if area is None:
        return
    assert classification.auroc(labels, np.exp(scores / 3)) == pytest.approx(area)
    assert classification.auroc(labels, -scores) == pytest.approx(1 - area)
    assert classification.auroc(1 - labels, scores) == pytest.approx(1 - area)
    shuffled = np.random.default_rng(0).permutation(len(items))
    assert classification.average_precision(labels[shuffled], scores[shuffled]) == pytest.approx(
        classification.average_precision(labels, scores)
    )


@given(films)
def test_losses_are_never_negative(items: list[tuple[int, int]]):
    labels, logits = (np.array(column) for column in zip(*items, strict=True))
    probabilities = classification.sigmoid(logits)
    assert classification.log_loss(labels, logits) >= 0
    assert 0 <= classification.brier_score(labels, probabilities) <= 1
    assert 0 <= classification.calibration_error(labels, probabilities) <= 1


def test_the_assignments_table():
    """The transfer run of the assignment: NORMAL 97/90/93, PNEUMONIA 94/98/96 on 234 and 390 films, 95.19 %."""
    table = classification.class_metrics(Confusion(tp=383, fn=7, fp=23, tn=211))
    shown = {name: tuple(round(100 * (v or 0)) for v in (r.precision, r.recall, r.f1)) for name, r in table.items()}
    assert shown == {"NORMAL": (97, 90, 93), "PNEUMONIA": (94, 98, 96)}
    assert classification.from_confusion(Confusion(tp=383, fn=7, fp=23, tn=211))["accuracy"] == pytest.approx(
        0.9519, abs=5e-5
    )


@given(films)
def test_fixed_specificity_and_sensitivity_are_mirror_images(items: list[tuple[int, int]]):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    found = classification.sensitivity_at_specificity(labels, scores, 0.8)
    assert found == classification.specificity_at_sensitivity(1 - labels, -scores, 0.8)
    if found is not None:
        kept = [
            classification.sensitivity(labels, scores >= threshold)
            for threshold in [*np.unique(scores), np.inf]
            if classification.specificity(labels, scores >= threshold) >= 0.8 - 1e-12
        ]
        assert found == pytest.approx(max(kept))
